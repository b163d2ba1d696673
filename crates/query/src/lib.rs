//! Selectors: what a view can be asked.
