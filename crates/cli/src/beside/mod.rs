//! The program beside its node: while `serve` has a folder open, every other command on that folder is carried out by it. `design/program.md`.
//!
//! A command sees the process that was called through [`Outside`](crate::outside::Outside). Here that is another process: the node asks it over a socket
//! in the folder ([`remote`]), and it does what it is asked with its own streams, files and signals ([`call`]). So there is one code for each command.

mod call;
mod greeting;
mod link;
mod node;
mod outbox;
mod place;
mod remote;
mod wire;

pub use call::find;
pub use node::Node;
pub use wire::Wanted;
