//! Which segment files there are, what each stands for, and the nonce that their checksums are bound to.

use crate::disk::Disk;
use crate::error::OpenError;
use crate::files::read_header;
use crate::position::{Position, file_name, segment_of};
use crate::segment::{Header, HeaderState, Nonce};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

pub(crate) struct Survey {
    /// Length in bytes of each segment file.
    pub segments: BTreeMap<u32, u64>,
    /// Names of other files, sorted.
    pub ignored: Vec<String>,
    /// Numbers of segments that another file stands for.
    pub joined: Vec<Range<u32>>,
    /// Those of them of which the file is still there.
    pub left_over: Vec<u32>,
    headers: BTreeMap<u32, HeaderState>,
}

impl Survey {
    /// Lists the files and reads all headers. Refuses formats that this version does not know.
    pub(crate) fn take(disk: &dyn Disk) -> Result<Survey, OpenError> {
        let list = disk.list().map_err(|source| OpenError::Read { file: disk.path(""), source })?;
        let (mut segments, mut headers, mut ignored) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for (name, len) in list {
            match segment_of(&name) {
                Some(segment) => drop(segments.insert(segment, len)),
                None => ignored.push(name),
            }
        }
        ignored.sort();
        for &segment in segments.keys() {
            headers.insert(segment, header_of(disk, segment)?);
        }
        let mut survey = Survey { segments, ignored, joined: Vec::new(), left_over: Vec::new(), headers };
        survey.leave_joined();
        Ok(survey)
    }

    /// Takes out what another file stands for. A file of another journal speaks for none of this one.
    fn leave_joined(&mut self) {
        let headers: BTreeMap<u32, Header> =
            self.headers.iter().filter_map(|(segment, state)| Some((*segment, state.header()?))).collect();
        for header in headers.values().rev().filter(|header| header.joined > 0) {
            let numbers = *header.segments().start()..header.segment;
            let is_inner = self.joined.iter().any(|run| run.contains(&header.segment));
            let mut within = headers.range(numbers.clone());
            if !is_inner && within.all(|(_, other)| other.nonce == header.nonce) {
                self.left_over.extend(self.segments.range(numbers.clone()).map(|(segment, _)| *segment));
                self.joined.push(numbers);
            }
        }
        self.segments.retain(|segment, _| !self.left_over.contains(segment));
    }

    /// True if there is a segment in the folder.
    pub(crate) fn any(dir: &Path) -> bool {
        let names = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
        names.into_iter().any(|name| name.to_str().and_then(segment_of).is_some())
    }

    /// Numbers below the greatest for which nothing stands.
    pub(crate) fn missing(&self) -> Vec<Range<u32>> {
        let mut next = 0;
        let joined = self.joined.iter().map(|run| (run.start, run.end));
        let mut there: Vec<(u32, u32)> =
            self.segments.keys().map(|segment| (*segment, segment.saturating_add(1))).chain(joined).collect();
        there.sort_unstable();
        let gap = |(from, to): (u32, u32)| {
            let gap = next..from;
            next = to;
            Some(gap).filter(|gap| !gap.is_empty())
        };
        there.into_iter().filter_map(gap).collect()
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

    /// How often each segment was rewritten.
    pub(crate) fn layout(&self) -> BTreeMap<u32, u8> {
        let rewrites = |segment| self.header(segment).map_or(0, |header| header.rewrites);
        self.segments.keys().map(|segment| (*segment, rewrites(segment))).collect()
    }

    /// The nonce in the first readable header from segment `from` on, else in any.
    pub(crate) fn nonce(&self, from: u32) -> Option<Nonce> {
        let numbers = self.segments.range(from..).chain(self.segments.range(..from));
        numbers.filter_map(|(segment, _)| self.header(segment)).map(|header| header.nonce).next()
    }

    fn header(&self, segment: &u32) -> Option<Header> {
        self.headers.get(segment).and_then(|state| state.header())
    }
}

fn header_of(disk: &dyn Disk, segment: u32) -> Result<HeaderState, OpenError> {
    let name = file_name(segment);
    let file = disk.path(&name);
    match disk.open(&name).map(|file| read_header(segment, &*file)) {
        Ok(HeaderState::Foreign(version)) => Err(OpenError::Version { file, version }),
        Ok(state) => Ok(state),
        Err(source) => Err(OpenError::Read { file, source }),
    }
}
