use kappadb_geo::{FeatureError, GeoJsonError};
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why a file was not imported. Nothing of it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file cannot be opened or read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What was read cannot be kept until the whole file has been.
    #[error(
        "cannot keep temporary data in {dir}; it needs space for all features and node positions of the file"
    )]
    Spool {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Not a format that is read here.
    #[error(
        "{path} is no map: neither .osm.pbf nor .osm nor .osc nor GeoJSON (a FeatureCollection, a Feature, or one Feature a line)"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// It ends early.
    #[error(
        "{path} is cut short: it ends at byte {length}, in the middle of {within}; copy or download it again"
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        length: u64,
        /// What is not whole.
        within: &'static str,
    },
    /// An `.osm.pbf` that breaks the format.
    #[error("{path} is damaged in the blob at byte {offset}: {damage}; copy or download it again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the blob starts.
        offset: u64,
        /// What is wrong with it.
        damage: Damage,
    },
    /// Packed data that does not unpack.
    #[error("{path} is damaged: its {packing} data is corrupt; copy or download it again")]
    Packed {
        /// The file.
        path: PathBuf,
        /// How it is packed.
        packing: &'static str,
    },
    /// A file of a sort that is not read.
    #[error("{path} needs {feature}, which is not supported here; {instead}")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// A required feature, a compression or an encoding.
        feature: String,
        /// What to do about it.
        instead: &'static str,
    },
    /// GeoJSON of which nothing can be taken.
    #[error("{path}: {reason}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: GeoJsonError,
    },
    /// GeoJSON that breaks off into something else.
    #[error("{path} is damaged at line {line}: {reason}")]
    NotJson {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What the parser found.
        reason: String,
    },
    /// XML that breaks off into something else.
    #[error("{path} is damaged at line {line} (byte {offset}{}): {damage}", in_element(.element))]
    NotXml {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// In what is unpacked.
        offset: u64,
        /// The element that it is in, such as `node 17`.
        element: Option<String>,
        /// What is wrong.
        damage: XmlDamage,
    },
    /// One feature or XML element beyond all measure.
    #[error("{path}: the feature at line {line} is longer than {limit} bytes")]
    FeatureTooLong {
        /// The file.
        path: PathBuf,
        /// From 1; where it starts.
        line: u64,
        /// Bytes allowed.
        limit: u64,
    },
}

fn in_element(element: &Option<String>) -> String {
    element.as_ref().map_or_else(String::new, |element| format!(", in {element}"))
}

/// How a text breaks XML or the OSM formats in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum XmlDamage {
    /// It is not well-formed.
    #[error("{reason}; copy or download it again")]
    Syntax {
        /// What the parser found.
        reason: String,
    },
    /// Bytes that are not UTF-8.
    #[error("it is not UTF-8; convert it")]
    NotText,
    /// An entity beyond those of XML itself. A file's own are never expanded.
    #[error("the entity \"{name}\" is unknown; write its characters themselves")]
    Entity {
        /// Its name.
        name: String,
    },
    /// An element of OSM in a place where it has no meaning.
    #[error("<{name}> cannot stand there; only plain .osm and .osc files are read")]
    Misplaced {
        /// Its name.
        name: String,
    },
    /// A diff that says what was before, too.
    #[error("it is an augmented diff, which is not read; ask for an osmChange (.osc) of the same time")]
    Augmented,
    /// The server that made the map did not get to its end.
    #[error("it is incomplete, its server says: {remark}; ask for less")]
    Incomplete {
        /// The server's words, or their beginning.
        remark: String,
    },
    /// Elements in elements in elements.
    #[error("elements are nested more than {limit} deep, so this is no OSM file")]
    TooDeep {
        /// Levels allowed.
        limit: usize,
    },
    /// Text or another element after the outermost one, or text before it.
    #[error("there is more than one document in it; split it into files")]
    Outside,
}

/// How bytes break the `.osm.pbf` format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// A field that says it is longer than what holds it.
    #[error("a field runs past its end")]
    Overrun,
    /// A number of more than 64 bits.
    #[error("a malformed number")]
    Varint,
    /// A field of another type than it must have.
    #[error("field {field} has the wrong type")]
    FieldType {
        /// Its number.
        field: u64,
    },
    /// A number that is not in its range, or a sum that is not.
    #[error("a number out of range")]
    Range,
    /// Lists that belong together and are not equally long.
    #[error("lists of {of} have different lengths")]
    Lists {
        /// What they describe.
        of: &'static str,
    },
    /// A text that is not there, or is not UTF-8.
    #[error("text {index} of the blob is missing or not UTF-8")]
    Text {
        /// Its place in the blob's table.
        index: u64,
    },
    /// A relation's member is neither node nor way nor relation.
    #[error("a member of unknown type {0}")]
    MemberType(u64),
    /// The packed data does not unpack.
    #[error("its packed data is corrupt")]
    Packed,
    /// The size claimed is not the size found, or beyond what the format allows.
    #[error("a size that is wrong or beyond the format's limits")]
    Size,
    /// A blob without data.
    #[error("it holds no data")]
    NoData,
    /// A blob that cannot stand where it is.
    #[error("a file must start with an OSMHeader blob")]
    NoHeader,
}

/// Where in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// In the blob that starts at this byte.
    Blob(u64),
    /// At this line, from 1, behind so many bytes of the file, or of what it unpacks to.
    Text {
        /// The line.
        line: u64,
        /// The bytes before it.
        offset: u64,
    },
    /// Found when the whole file had been read.
    File,
}

/// A feature that was left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Skip {
    /// Where it is.
    pub location: Location,
    /// Its id, if it has one.
    pub id: Option<String>,
    /// Why.
    pub reason: Reason,
}

/// Why a feature was left out.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// It cannot be put in a block.
    #[error(transparent)]
    Feature(#[from] FeatureError),
    /// Not a GeoJSON feature.
    #[error(transparent)]
    GeoJson(#[from] GeoJsonError),
    /// Text that is not UTF-8.
    #[error("not UTF-8")]
    NotText,
    /// Its parts break the format.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// A node whose position is out of range.
    #[error("its position is not on the map")]
    OffTheMap,
    /// Something that it must have.
    #[error("it has no {attribute}")]
    Missing {
        /// The name, such as `id`.
        attribute: &'static str,
    },
    /// A number out of range, or a text that is none.
    #[error("its {attribute} cannot be {value:?}")]
    BadValue {
        /// The name, such as `id`.
        attribute: &'static str,
        /// The text, or its beginning.
        value: String,
    },
    /// Two values of one key.
    #[error("it has two values for the tag {key:?}")]
    DuplicateTag {
        /// The key.
        key: String,
    },
    /// Another one of the same id is newer, or comes later in the file.
    #[error("the file has a newer one of this id")]
    Replaced,
    /// A way of a GeoJSON file has a node at another place than the node itself, or than another way.
    #[error(
        "the file has it at different places: of those in ways one counts, and what it says of itself counts before"
    )]
    Torn,
}

impl Reason {
    /// One word for all of its kind, for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Reason::Feature(FeatureError::TooLarge { .. }) => "too_large",
            Reason::Feature(_) => "not_storable",
            Reason::GeoJson(GeoJsonError::OffTheMap(_)) | Reason::OffTheMap => "off_the_map",
            Reason::GeoJson(GeoJsonError::NotJson { .. }) => "not_json",
            Reason::GeoJson(GeoJsonError::Crs { .. }) => "other_coordinates",
            Reason::GeoJson(GeoJsonError::Id(_) | GeoJsonError::IdType { .. }) => "bad_id",
            Reason::GeoJson(GeoJsonError::Geometry(_) | GeoJsonError::Coordinates { .. }) => "bad_geometry",
            Reason::GeoJson(_) => "not_a_feature",
            Reason::NotText => "not_text",
            Reason::Damage(_) => "damaged",
            Reason::Missing { .. } => "missing_value",
            Reason::BadValue { .. } => "bad_value",
            Reason::DuplicateTag { .. } => "duplicate_tag",
            Reason::Replaced => "repeated",
            Reason::Torn => "torn",
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::Blob(offset) => write!(f, "blob at byte {offset}"),
            Location::Text { line, offset } => write!(f, "line {line}, byte {offset}"),
            Location::File => f.write_str("whole file"),
        }
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(f, "{id} ({}): {}", self.location, self.reason),
            None => write!(f, "{}: {}", self.location, self.reason),
        }
    }
}
