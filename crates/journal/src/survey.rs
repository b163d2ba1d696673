//! Which segment files there are, and the nonce that their checksums are bound to.

use crate::disk::Disk;
use crate::error::OpenError;
use crate::files::read_header;
use crate::position::{Position, file_name, segment_of};
use crate::segment::{HeaderState, Nonce};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

pub(crate) struct Survey {
    /// Length in bytes of each segment file.
    pub segments: BTreeMap<u32, u64>,
    /// Names of other files, sorted.
    pub ignored: Vec<String>,
}

impl Survey {
    pub(crate) fn take(disk: &dyn Disk) -> Result<Survey, OpenError> {
        let list = disk.list().map_err(|source| OpenError::Read { file: disk.path(""), source })?;
        let mut survey = Survey { segments: BTreeMap::new(), ignored: Vec::new() };
        for (name, len) in list {
            match segment_of(&name) {
                Some(segment) => drop(survey.segments.insert(segment, len)),
                None => survey.ignored.push(name),
            }
        }
        survey.ignored.sort();
        Ok(survey)
    }

    /// True if there is a segment in the folder.
    pub(crate) fn any(dir: &Path) -> bool {
        let names = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.into_iter().any(|name| name.to_str().and_then(segment_of).is_some())
    }

    /// Numbers below the greatest for which there is no file.
    pub(crate) fn missing(&self) -> Vec<Range<u32>> {
        let mut next = 0;
        let gap = |&segment: &u32| {
            let gap = next..segment;
            next = segment.saturating_add(1);
            Some(gap).filter(|gap| !gap.is_empty())
        };
        self.segments.keys().filter_map(gap).collect()
    }

    /// Where the last file ends.
    pub(crate) fn end(&self) -> Position {
        let last = self.segments.last_key_value();
        last.map_or(Position::START, |(&segment, &offset)| Position { segment, offset })
    }

    /// Bytes in the segments of `numbers`.
    pub(crate) fn bytes(&self, numbers: Range<u32>) -> u64 {
        self.segments.range(numbers).map(|(_, len)| len).sum()
    }

    /// The nonce in the first readable header from segment `from` on, else in any. Reads all headers from there on, and
    /// refuses formats that this version does not know.
    pub(crate) fn nonce(&self, disk: &dyn Disk, from: u32) -> Result<Option<Nonce>, OpenError> {
        let mut nonce = None;
        for &segment in self.segments.range(from..).map(|(segment, _)| segment) {
            nonce = nonce.or(nonce_of(disk, segment)?);
        }
        let mut before = self.segments.range(..from).map(|(&segment, _)| segment);
        while let (None, Some(segment)) = (nonce, before.next()) {
            nonce = nonce_of(disk, segment)?;
        }
        Ok(nonce)
    }
}

fn nonce_of(disk: &dyn Disk, segment: u32) -> Result<Option<Nonce>, OpenError> {
    let name = file_name(segment);
    let file = disk.path(&name);
    match disk.open(&name).map(|file| read_header(segment, &*file)) {
        Ok(HeaderState::Foreign(version)) => Err(OpenError::Version { file, version }),
        Ok(state) => Ok(state.header().map(|header| header.nonce)),
        Err(source) => Err(OpenError::Read { file, source }),
    }
}
