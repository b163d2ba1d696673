//! Writes the seeds anew: `cargo run --example seeds` in this folder. They are messages, records and files as the project
//! itself makes them, so that a fuzzer starts from what is accepted.

mod blocks;
mod chat;
mod files;
mod journal;
mod map;
mod talk;
mod words;

use kappadb_core::RangeSet;
use kappadb_fuzz::Output;
use std::fs;
use std::path::Path;

pub(crate) type Seeds = Vec<(String, Vec<u8>)>;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let features = map::features();
    let all: [(&str, Seeds); 25] = [
        ("block", blocks::block()),
        ("bundle", blocks::bundle()),
        ("channel", chat::channel()),
        ("chat", chat::chat()),
        ("codec", words::codec_seeds()),
        ("delete", map::delete(&features)),
        ("detached", blocks::detached()),
        ("entry", blocks::entry(&features)),
        ("feature", map::feature(&features)),
        ("filter", map::filter()),
        ("fork", blocks::fork()),
        ("frame", talk::frame()),
        ("geojson", map::geojson(&features)),
        ("hello", talk::hello()),
        ("import_geojson", files::import_geojson(&features)),
        ("import_osc", files::import_osc()),
        ("import_osm", files::import_osm()),
        ("import_pbf", files::import_pbf()),
        ("record", journal::record()),
        ("segment", journal::segment()),
        ("selector", words::selector()),
        ("session", talk::session()),
        ("text", words::text()),
        ("ticket", words::ticket()),
        ("wire", talk::wire()),
    ];
    for (target, seeds) in all {
        let folder = folder.join(target);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        for (name, bytes) in seeds {
            fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}

pub(crate) fn named(name: &str, output: Output) -> (String, Vec<u8>) {
    (name.to_owned(), output.0)
}

pub(crate) fn out() -> Output {
    Output::default()
}

pub(crate) fn set(numbers: impl IntoIterator<Item = u64>) -> RangeSet {
    numbers.into_iter().collect()
}
