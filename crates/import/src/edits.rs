//! Edits on disk, each once as far as neighbours have the same: nodes say which by its place in the file.

use kappadb_core::codec;
use kappadb_geo::Edit;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

/// The place of no edit.
pub(crate) const NO_EDIT: u64 = u64::MAX;
/// Edits that are kept in memory, to find those that come again. All are forgotten when there are more.
const REMEMBERED: usize = 16_384;
/// bincode's limit for what was encoded here.
const SPOOLED: usize = 1 << 24;

/// Takes edits.
pub(crate) struct EditWriter {
    /// Length u32 | edit, for each.
    file: BufWriter<File>,
    end: u64,
    places: HashMap<Edit, u64>,
}

/// Finds them by their place.
#[derive(Debug)]
pub(crate) struct Edits {
    file: File,
    known: HashMap<u64, Arc<Edit>>,
}

impl EditWriter {
    pub fn new(dir: &Path) -> io::Result<Self> {
        let file = BufWriter::with_capacity(1 << 16, tempfile::tempfile_in(dir)?);
        Ok(EditWriter { file, end: 0, places: HashMap::new() })
    }

    /// Where an edit is; it is written if it has not come lately.
    pub fn place(&mut self, edit: &Edit) -> io::Result<u64> {
        if let Some(place) = self.places.get(edit) {
            return Ok(*place);
        }
        let (place, bytes) = (self.end, codec::encode(edit));
        let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.file.write_all(&len.to_le_bytes())?;
        self.file.write_all(&bytes)?;
        self.end += 4 + u64::from(len);
        if self.places.len() == REMEMBERED {
            self.places.clear();
        }
        self.places.insert(edit.clone(), place);
        Ok(place)
    }

    pub fn finish(self) -> io::Result<Edits> {
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Edits { file, known: HashMap::new() })
    }
}

impl Edits {
    /// The edit at a place.
    pub fn get(&mut self, place: u64) -> io::Result<Option<Arc<Edit>>> {
        if place == NO_EDIT {
            return Ok(None);
        }
        if let Some(edit) = self.known.get(&place) {
            return Ok(Some(edit.clone()));
        }
        let (mut file, mut len) = (&self.file, [0; 4]);
        file.seek(SeekFrom::Start(place))?;
        file.read_exact(&mut len)?;
        let mut bytes = Vec::new();
        file.take(u32::from_le_bytes(len).into()).read_to_end(&mut bytes)?;
        let edit = codec::decode::<Edit, SPOOLED>("spooled edit", &bytes).map_err(io::Error::other)?;
        let edit = Arc::new(edit);
        if self.known.len() == REMEMBERED {
            self.known.clear();
        }
        self.known.insert(place, edit.clone());
        Ok(Some(edit))
    }
}
