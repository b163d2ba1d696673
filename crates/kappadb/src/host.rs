//! What a database stands on: threads, time, chance, a disk, a store, a network. Each has a default that suits a program on a machine; [`Builder`](crate::Builder)
//! takes others, from a simulation or a program that has its own.

pub use kappadb_core::{Clock, Job, Thread, Threads};
pub use kappadb_journal::{Disk, DiskFile};
pub use kappadb_net::Tcp;
pub use kappadb_net::transport::{AnyLink, Link, Socket, Transport};
pub use kappadb_store::{
    Batch, FileId, MemoryStore, NewFile, Op, Row, Rows, Store, StoreError, StoredFile, Tree,
};
pub use kappadb_view::SystemThreads;
