//! `map ...`.

use super::{AskArgs, Limit};
use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use kappadb::{Cursor, Extent, FeatureKind, Ids, TagFilter};
use std::path::PathBuf;

fn parse_ids(text: &str) -> Result<Ids, String> {
    match text {
        "new" => Ok(Ids::New),
        "keep" => Ok(Ids::Keep),
        "" => Err("a name is needed, or `new` or `keep`".to_owned()),
        name => Ok(Ids::Named(name.to_owned())),
    }
}

#[derive(Subcommand)]
pub enum MapCommand {
    /// Import an .osm.pbf, .osm, .osc, GeoJSON, newline-delimited GeoJSON or GeoJSONSeq file, which may be packed with gzip, bzip2,
    /// xz or Zstandard. Importing it again appends nothing. Asks the known peers first what they know of what the file speaks of.
    Import {
        /// The file, or `-` for stdin; its content tells its format.
        file: PathBuf,
        /// Take what differs from what is held, also where that is newer or has replaced it.
        #[arg(long)]
        force: bool,
        /// What becomes of placeholders, ids such as -1 that editors give to new elements, and of whole numbers as ids in GeoJSON, which are mostly
        /// those of a table's rows: `new` ones that are no other file's, `keep`, or a name: the same ones in all files that are imported under it.
        #[arg(long, default_value = "new", value_parser = parse_ids)]
        ids: Ids,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Create or replace a feature. Asks the known peers first what they know of it, and of what it touches.
    Put {
        /// Ask no peer.
        #[arg(long)]
        local: bool,
        /// A file with one GeoJSON Feature, or `-` for stdin.
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Delete a feature. Asks the known peers first what they know of it.
    Delete {
        /// Its id, such as n1, w1, r1 or a GeoJSON id.
        id: String,
        /// Ask no peer.
        #[arg(long)]
        local: bool,
    },
    /// Attach a file, such as a photo, to a feature: the file becomes a blob, and the feature names it. Asks the known peers
    /// first what they know of the feature.
    Attach {
        /// The feature's id.
        id: String,
        /// Ask no peer.
        #[arg(long)]
        local: bool,
        /// The file, or `-` for stdin.
        file: PathBuf,
        /// What the feature calls it; the file's name by default.
        #[arg(long)]
        name: Option<String>,
        /// Its media type, such as image/jpeg.
        #[arg(long = "type", value_name = "TYPE")]
        media_type: Option<String>,
    },
    /// Print a feature as GeoJSON; all of its versions if they are in conflict.
    Get {
        /// Its id.
        id: String,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Print all versions of a feature, the latest first.
    History {
        /// Its id.
        id: String,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Make one of several versions of a feature that were written without knowledge of each other. Asks the known peers
    /// first what they know of it.
    Merge {
        /// Its id.
        id: String,
        /// Ask no peer.
        #[arg(long)]
        local: bool,
    },
    /// Print the ids of the features that refer to one: the ways of a node, the relations of a member.
    Referrers {
        /// Its id.
        id: String,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Print a feature and all that it is made of, as GeoJSON; relations of relations too.
    Expand {
        /// Its id.
        id: String,
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Write all features, or those of a box, to a file or stdout.
    Export(ExportArgs),
    /// Find features: those whose extent touches a box, or all. Asks the known peers first and fetches what is missing.
    Query(QueryArgs),
}

#[derive(ClapArgs)]
pub struct QueryArgs {
    /// Only what touches this box: west,south,east,north in degrees; west greater than east crosses the antimeridian. Without it all features are
    /// looked through, also those without a place.
    #[arg(long, value_name = "W,S,E,N", allow_hyphen_values = true, required_if_eq("format", "svg"))]
    pub bbox: Option<Extent>,
    /// Print at most this many, or `all`. In the order of the ids, what is fetched is not limited; with --largest it is.
    #[arg(long, value_name = "N", default_value_t = Limit::ALL)]
    pub limit: Limit,
    /// The largest first, and of points a thinned-out sample: what a map shows from far away. With --limit the peers are
    /// asked for no more than that needs.
    #[arg(long, requires = "bbox")]
    pub largest: bool,
    /// Go on after an earlier page: the cursor that it ended with.
    #[arg(long, value_name = "CURSOR")]
    pub after: Option<Cursor>,
    /// Only these kinds of features: node, way, relation, free.
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub kind: Vec<FeatureKind>,
    /// Only features with this tag: key, key=value, key!=value or !key. Repeated: all must hold.
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<TagFilter>,
    /// Only features at least this wide or high, in degrees.
    #[arg(long, value_name = "DEGREES", value_parser = units)]
    pub min_extent: Option<u32>,
    /// Answer as OpenStreetMap's API 0.6 does: the nodes inside, the ways with one of them, all nodes of these ways, the
    /// relations that refer to any of them, and the relations that refer to these relations.
    #[arg(long, requires = "bbox", conflicts_with_all = ["limit", "largest", "after", "kind", "tag", "min_extent"])]
    pub osm_api: bool,
    /// Print each feature in the box, then each change, a JSON line each, until interrupted: what is written anywhere comes within moments.
    #[arg(long, requires = "bbox", conflicts_with_all = ["limit", "largest", "after", "kind", "tag", "min_extent", "osm_api", "format", "require_complete"])]
    pub follow: bool,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Format::Ids)]
    pub format: Format,
    #[command(flatten)]
    pub ask: AskArgs,
}

#[derive(ClapArgs)]
pub struct ExportArgs {
    /// Only what touches this box: west,south,east,north in degrees.
    #[arg(long, value_name = "W,S,E,N", allow_hyphen_values = true)]
    pub bbox: Option<Extent>,
    /// What belongs to the box by the rule of OpenStreetMap's API 0.6.
    #[arg(long, requires = "bbox")]
    pub osm_api: bool,
    /// What to write.
    #[arg(long, value_enum, default_value_t = ExportFormat::Geojson)]
    pub format: ExportFormat,
    /// Where to write it; stdout by default. A file that is there is replaced, once all is written.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    #[command(flatten)]
    pub ask: AskArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// One GeoJSON FeatureCollection.
    Geojson,
    /// A GeoJSON text sequence (RFC 8142).
    Geojsonseq,
    /// One GeoJSON Feature a line.
    Ndjson,
    /// OSM XML.
    Osm,
}

/// Degrees as the map's units of 1e-7 degrees.
fn units(text: &str) -> Result<u32, String> {
    let degrees: f64 = text.parse().map_err(|_| format!("{text:?} is no number of degrees"))?;
    let units = (degrees * 1e7).round();
    if !(0.0..=3.6e9).contains(&units) {
        return Err(format!("{text} degrees are not within 0 to 360"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
    Ok(units as u32)
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One id a line.
    Ids,
    /// How many.
    Count,
    /// One GeoJSON Feature a line.
    Ndjson,
    /// One GeoJSON FeatureCollection.
    Geojson,
    /// A GeoJSON text sequence (RFC 8142).
    Geojsonseq,
    /// OSM XML, with the nodes of the ways.
    Osm,
    /// A picture.
    Svg,
}
