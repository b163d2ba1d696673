pub(crate) mod blobs;
pub(crate) mod boxed;
pub(crate) mod chat;
pub(crate) mod kv;
pub(crate) mod map;
pub(crate) mod watching;
