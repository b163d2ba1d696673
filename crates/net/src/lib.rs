//! Transports, handshake, framing and tickets.
