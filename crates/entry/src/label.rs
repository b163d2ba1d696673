//! What a blob is, for programs and people: a header extension, so that it outlives the content.

use crate::error::check_len;
use crate::{EntryError, Header};
use bincode::{Decode, Encode};
use kappadb_core::codec;
use kappadb_core::limits::MAX_LABEL;

/// The kind of the header extension.
pub const LABEL: u16 = 3;

/// What a blob is. Both are whatever its writer says; empty for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Label {
    /// A media type (RFC 6838) such as `image/jpeg`; at most [`MAX_LABEL`] bytes.
    pub media_type: String,
    /// A name such as that of the file it came from; at most [`MAX_LABEL`] bytes.
    pub name: String,
}

impl Label {
    /// Reads and checks the extension.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, EntryError> {
        let label: Label = codec::decode::<_, { 2 * MAX_LABEL + 8 }>("label", bytes)?;
        check_len("media type", label.media_type.len(), MAX_LABEL)?;
        check_len("name", label.name.len(), MAX_LABEL)?;
        Ok(label)
    }
}

impl Header {
    /// What the entry says that its payload is; empty if it says nothing.
    pub fn label(&self) -> Label {
        let extension = self.extensions.iter().find(|extension| extension.kind == LABEL);
        extension.and_then(|extension| Label::decode(&extension.bytes).ok()).unwrap_or_default()
    }

    /// Says what the payload is. Texts over [`MAX_LABEL`] are refused when the block is encoded.
    pub fn set_label(&mut self, label: &Label) {
        let said = *label != Label::default();
        self.set_extension(LABEL, said.then(|| codec::encode(label)));
    }
}
