//! The segmented, checksummed arrival log.
