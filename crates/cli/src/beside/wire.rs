//! What goes over the socket: each message is its length in 4 bytes, the lowest first, and then itself.
//!
//! Both sides are the same program: the greeting has seen to that ([`super::greeting`]). So the form of messages may change with every version.

use crate::outside::{Shown, Terminals};
use bincode::config::{Configuration, standard};
use bincode::{Decode, Encode};
use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

/// Bytes of a message at most. Larger pieces of output and input go in several.
const MAX_MESSAGE: usize = 16 << 20;
/// Bytes of output or input in one message.
pub const PIECE: usize = 256 << 10;
/// The number of stdout among the files of a command.
pub const STDOUT: u32 = 0;

/// What a caller wants done, and what it is.
#[derive(Debug, Encode, Decode)]
pub struct Wanted {
    /// The command line, its first word being the program.
    pub args: Vec<Vec<u8>>,
    /// The folder, as the caller calls it.
    pub dir: Vec<u8>,
    pub patience: Duration,
    /// The name of its time zone, if that is not just the machine's.
    pub zone: Option<String>,
    pub terminals: Terminals,
}

/// From the node to the caller.
#[derive(Debug, Encode, Decode)]
pub enum Order {
    /// Write this to stdout or to a new file.
    Write { file: u32, bytes: Vec<u8> },
    /// Write this to stderr.
    Tell(Vec<u8>),
    /// Draw a bar.
    Bar(Shown),
    /// Do something that is answered.
    Ask { number: u32, request: Request },
    /// A file is done with.
    Close(u32),
    /// The command has ended with this exit code.
    End(u8),
}

/// What a caller answers to.
#[derive(Debug, Encode, Decode)]
pub enum Request {
    /// Has all that was written been taken?
    Flush,
    /// Put a question to people.
    Question(String),
    /// Open a file, or stdin, under this number.
    Open { file: u32, path: Vec<u8> },
    /// Read so much of it at most.
    Read { file: u32, most: u32 },
    /// Make a file under this number.
    Create { file: u32, path: Vec<u8> },
    /// Give it its name.
    Keep(u32),
    /// From now on say when there is a signal.
    Interrupt,
}

/// From the caller to the node.
#[derive(Debug, Encode, Decode)]
pub enum Report {
    Answer {
        number: u32,
        answer: Result<Answer, Failure>,
    },
    /// A write failed. What comes for that file after it is not written.
    Failed {
        file: u32,
        failure: Failure,
    },
    /// It was asked to end.
    Interrupted,
}

#[derive(Debug, Encode, Decode)]
pub enum Answer {
    Done,
    /// What somebody said.
    Text(String),
    /// A file is open and has so many bytes, if that is known.
    Open(u64),
    /// What was read; nothing at the end.
    Bytes(Vec<u8>),
}

/// An error of the system at the other side.
#[derive(Debug, Clone, Encode, Decode)]
pub struct Failure {
    code: Option<i32>,
    text: String,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure { code: error.raw_os_error(), text: error.to_string() }
    }
}

impl From<Failure> for io::Error {
    fn from(Failure { code, text }: Failure) -> io::Error {
        code.map_or_else(|| io::Error::other(text), io::Error::from_raw_os_error)
    }
}

const fn form() -> impl bincode::config::Config {
    const FORM: Configuration = standard();
    FORM.with_limit::<MAX_MESSAGE>()
}

/// A message as it goes over the socket.
pub fn pack(message: &impl Encode) -> io::Result<Vec<u8>> {
    let bytes = bincode::encode_to_vec(message, form()).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    Ok([&length.to_le_bytes()[..], &bytes].concat())
}

/// Sends a message.
pub fn send(mut socket: impl Write, message: &impl Encode) -> io::Result<()> {
    socket.write_all(&pack(message)?)
}

/// The next message.
///
/// # Errors
/// [`ErrorKind::UnexpectedEof`] if the other side has gone.
pub fn receive<T: Decode<()>>(mut socket: impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_MESSAGE {
        return Err(io::Error::new(ErrorKind::InvalidData, "a message that is too long"));
    }
    let mut bytes = vec![0; length];
    socket.read_exact(&mut bytes)?;
    let (message, _) = bincode::decode_from_slice(&bytes, form()).map_err(io::Error::other)?;
    Ok(message)
}
