//! `.osm.pbf` (<https://wiki.openstreetmap.org/wiki/PBF_Format>): blobs of elements, in any order.
//!
//! Read in three passes, of which the second and third only unpack the blobs that hold ways and relations: positions of
//! nodes; ways, which need these; relations, which need both.
//!
//! A reader of our own, since the one at hand panics on some malformed values; the tests compare the two.

mod block;
mod elements;
mod file;
mod wire;

pub(crate) use elements::read;
