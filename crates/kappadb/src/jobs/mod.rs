pub(crate) mod find;
pub(crate) mod log;
pub(crate) mod recover;
pub(crate) mod status;
