//! `.osm.pbf` (<https://wiki.openstreetmap.org/wiki/PBF_Format>): blobs of elements, in any order.
//!
//! Read in four passes, of which all but the first only unpack the blobs that hold ways or relations: positions of
//! nodes; ways, which need these; where relations are by these two; relations, which also need each other.
//!
//! A reader of our own, since the one at hand panics on some malformed values; the tests compare the two.

mod block;
mod elements;
mod file;
mod wire;

pub(crate) use elements::read;
