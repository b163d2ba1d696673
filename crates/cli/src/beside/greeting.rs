//! What a node says first to whoever connects: a line that programs of all versions understand.

use std::fs::Metadata;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::str::FromStr;

/// Bytes of a line at most.
const MAX_LINE: usize = 256;

/// Who the node is, and whether it takes the caller.
#[derive(Debug, PartialEq, Eq)]
pub struct Greeting {
    pub word: Word,
    /// Its process.
    pub pid: u32,
    /// Its program.
    pub version: String,
    pub folder: Folder,
}

/// Whether a caller is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// It may say what it wants.
    Welcome,
    /// There are too many already.
    Busy,
    /// It is of another user.
    Foreign,
}

/// Which folder it is, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Folder {
    device: u64,
    inode: u64,
}

impl From<&Metadata> for Folder {
    fn from(found: &Metadata) -> Folder {
        Folder { device: found.dev(), inode: found.ino() }
    }
}

/// The version of this program. With it, all messages are the same.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "-1");

const WORDS: [(Word, &str); 3] =
    [(Word::Welcome, "welcome"), (Word::Busy, "busy"), (Word::Foreign, "foreign")];

impl Greeting {
    /// Sends it.
    pub fn send(&self, mut socket: impl Write) -> io::Result<()> {
        let Greeting { word, pid, version, folder: Folder { device, inode } } = self;
        let word = WORDS.iter().find(|(known, _)| known == word).map_or("", |(_, name)| name);
        socket.write_all(format!("kappa {word} {pid} {version} {device} {inode}\n").as_bytes())
    }

    /// Reads it, and nothing that comes after it.
    pub fn receive(mut socket: impl Read) -> io::Result<Greeting> {
        let (mut line, mut byte) = (Vec::new(), [0]);
        while line.len() < MAX_LINE {
            socket.read_exact(&mut byte)?;
            let [byte] = byte;
            if byte == b'\n' {
                break;
            }
            line.push(byte);
        }
        String::from_utf8_lossy(&line).parse().map_err(io::Error::other)
    }
}

impl FromStr for Greeting {
    type Err = &'static str;

    fn from_str(line: &str) -> Result<Greeting, &'static str> {
        let parse = || {
            let mut words = line.strip_prefix("kappa ")?.split(' ');
            let word = words.next()?;
            let (word, _) = *WORDS.iter().find(|(_, name)| *name == word)?;
            let (pid, version) = (words.next()?.parse().ok()?, words.next()?.to_owned());
            let folder = Folder { device: words.next()?.parse().ok()?, inode: words.next()?.parse().ok()? };
            Some(Greeting { word, pid, version, folder })
        };
        parse().ok_or("what listens in the folder is no node of kappa")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_comes_through_and_nothing_else_is_one() {
        for (word, _) in WORDS {
            let folder = Folder { device: 7, inode: u64::MAX };
            let greeting = Greeting { word, pid: 4, version: VERSION.to_owned(), folder };
            let mut line = Vec::new();
            greeting.send(&mut line).unwrap();
            line.extend(b"more");
            let mut left = &line[..];
            assert_eq!(Greeting::receive(&mut left).unwrap(), greeting);
            assert_eq!(left, b"more");
        }
        for line in
            ["", "\n", "SSH-2.0\n", "kappa hello 1 0.1 2 3\n", "kappa welcome x 0.1 2 3\n", &"k".repeat(1000)]
        {
            assert!(Greeting::receive(line.as_bytes()).is_err(), "{line:?}");
        }
    }
}
