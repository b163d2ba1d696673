use kappadb_core::GeoBox;
use kappadb_core::codec::DecodeError;

/// Why a selector cannot be sent, or bytes are none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectorError {
    /// More bytes than a part may have.
    #[error("a selector's {what} of {len} bytes is over the limit of {limit}")]
    TooLong {
        /// The part: `key`, `prefix`, `channel`, `encoding`.
        what: &'static str,
        /// Bytes found.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// More items than a list may have.
    #[error("{count} {what} in a selector are over the limit of {limit}")]
    TooMany {
        /// The list: `keys` or `boxes`.
        what: &'static str,
        /// Items found.
        count: usize,
        /// Items allowed.
        limit: usize,
    },
    /// A list is not strictly ascending. [`crate::Selector::keys`] and [`crate::Selector::boxes`] sort theirs.
    #[error("a selector's {what} are not in ascending order without repeats")]
    Unsorted {
        /// The list: `keys` or `boxes`.
        what: &'static str,
    },
    /// A range whose end lies before its beginning.
    #[error("a range of keys ends before it starts")]
    BadRange,
    /// A limited selector that asks for nothing.
    #[error("a limit of 0 asks for nothing; leave it out for all")]
    NoLimit,
    /// A window that ends before it starts.
    #[error("a window from {from} to {to} ends before it starts")]
    BadWindow {
        /// Milliseconds since the Unix epoch.
        from: i64,
        /// Milliseconds since the Unix epoch.
        to: i64,
    },
    /// A box that is upside down or not on the map.
    #[error("{0} is no box on the map")]
    BadBox(GeoBox),
    /// The bytes are no selector.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}
