//! Which features somebody wants to see: by kind, tags and size. Applied by the asker to its own answer, never by a peer
//! that answers (`design/model.md`).

use crate::body::front;
use crate::{Body, ElementKind, Feature, json};
use kappadb_core::Extent;
use std::fmt;
use std::str::FromStr;

/// All that it names must hold; an empty one takes every feature.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// It is one of these; any if empty.
    pub kinds: Vec<FeatureKind>,
    /// Each of these holds.
    pub tags: Vec<TagFilter>,
    /// 1e-7 degrees that the longer side of its extent has at least. A point's has 0.
    pub min_extent: u32,
}

/// The sorts of features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FeatureKind {
    /// An OSM node.
    Node,
    /// An OSM way.
    Way,
    /// An OSM relation.
    Relation,
    /// A GeoJSON feature.
    Free,
}

/// What a feature's tags must say. Of a GeoJSON feature the top-level members of its properties are its tags: a text is
/// its own value, `null` is no value, and all else is as it is written, such as `1.50`, `true` or `[1,2]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TagFilter {
    /// `key`: it has a value.
    Has(String),
    /// `!key`: it has none.
    Lacks(String),
    /// `key=value`.
    Is(String, String),
    /// `key!=value`: it has another value, or none.
    IsNot(String, String),
}

/// Why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// No such sort of feature.
    #[error("{0:?} is no kind of feature: write node, way, relation or free")]
    UnknownKind(String),
    /// No key, as in `=cafe`.
    #[error("the tag filter {0:?} has no key: write key, !key, key=value or key!=value")]
    NoKey(String),
    /// A `!` before a key that is compared, as in `!amenity=cafe`.
    #[error("the tag filter {0:?} says no twice or in the wrong place: write !key or key!=value")]
    MisplacedNot(String),
}

impl Filter {
    /// True if all of it holds of the feature.
    pub fn matches(&self, feature: &Feature) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&FeatureKind::of(&feature.body)))
            && (self.min_extent == 0 || longer_side(&feature.extent()) >= u64::from(self.min_extent))
            && (self.tags.is_empty() || self.matches_tags(&feature.body))
    }

    /// False if a feature with this body (its bytes in a block) does not match, as far as a look at kind and tags shows, which is much less work
    /// than to decode it. If it is true, nothing is said.
    pub fn may_match(&self, body: &[u8]) -> bool {
        let Some((kind, tags)) = front(body) else { return true };
        let value = |key: &str| tags.iter().find(|(k, _)| *k == key).map(|(_, value)| *value);
        (self.kinds.is_empty() || self.kinds.contains(&kind.into()))
            && self.tags.iter().all(|filter| filter.holds(value(filter.key())))
    }

    fn matches_tags(&self, body: &Body) -> bool {
        match body {
            Body::Osm(element) => self.tags.iter().all(|filter| filter.holds(element.tag(filter.key()))),
            Body::Free(free) => {
                let members = json::members(&free.properties);
                let value =
                    |key: &str| members.iter().find(|(k, _)| k == key).and_then(|(_, text)| value(text));
                self.tags.iter().all(|filter| filter.holds(value(filter.key()).as_deref()))
            }
        }
    }
}

/// A property as the value of a tag.
fn value(text: &str) -> Option<String> {
    match text {
        "null" => None,
        _ if text.starts_with('"') => serde_json::from_str(text).ok(),
        _ => Some(text.to_owned()),
    }
}

/// In 1e-7 degrees; across the antimeridian, that of both boxes together.
fn longer_side(extent: &Extent) -> u64 {
    let side = |from: i32, to: i32| u64::from(to.abs_diff(from));
    let width = extent.boxes().iter().map(|b| side(b.west, b.east)).sum::<u64>();
    extent.boxes().iter().map(|b| side(b.south, b.north)).fold(width, u64::max)
}

impl FeatureKind {
    /// Which sort a feature with this body is.
    pub fn of(body: &Body) -> FeatureKind {
        match body {
            Body::Osm(element) => element.shape.kind().into(),
            Body::Free(_) => FeatureKind::Free,
        }
    }
}

impl From<ElementKind> for FeatureKind {
    fn from(kind: ElementKind) -> FeatureKind {
        match kind {
            ElementKind::Node => FeatureKind::Node,
            ElementKind::Way => FeatureKind::Way,
            ElementKind::Relation => FeatureKind::Relation,
        }
    }
}

impl fmt::Display for FeatureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FeatureKind::Node => "node",
            FeatureKind::Way => "way",
            FeatureKind::Relation => "relation",
            FeatureKind::Free => "free",
        })
    }
}

impl FromStr for FeatureKind {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<FeatureKind, FilterError> {
        let all = [FeatureKind::Node, FeatureKind::Way, FeatureKind::Relation, FeatureKind::Free];
        let found = all.into_iter().find(|kind| kind.to_string() == text);
        found.ok_or_else(|| FilterError::UnknownKind(text.to_owned()))
    }
}

impl TagFilter {
    fn key(&self) -> &str {
        match self {
            TagFilter::Has(key)
            | TagFilter::Lacks(key)
            | TagFilter::Is(key, _)
            | TagFilter::IsNot(key, _) => key,
        }
    }

    /// Whether it holds of a key with this value.
    fn holds(&self, found: Option<&str>) -> bool {
        match self {
            TagFilter::Has(_) => found.is_some(),
            TagFilter::Lacks(_) => found.is_none(),
            TagFilter::Is(_, value) => found == Some(value),
            TagFilter::IsNot(_, value) => found != Some(value),
        }
    }
}

/// As it is read.
impl fmt::Display for TagFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TagFilter::Has(key) => f.write_str(key),
            TagFilter::Lacks(key) => write!(f, "!{key}"),
            TagFilter::Is(key, value) => write!(f, "{key}={value}"),
            TagFilter::IsNot(key, value) => write!(f, "{key}!={value}"),
        }
    }
}

/// `highway`, `!building`, `amenity=cafe` or `name!=x`. The first `=` ends the key, and the value is all that follows, white
/// space too; it may be empty. So keys that hold `=`, or `!` at either end, cannot be asked for in this form.
impl FromStr for TagFilter {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<TagFilter, FilterError> {
        let key = |key: &str| match key {
            "" => Err(FilterError::NoKey(text.to_owned())),
            _ if key.starts_with('!') || key.ends_with('!') => {
                Err(FilterError::MisplacedNot(text.to_owned()))
            }
            _ => Ok(key.to_owned()),
        };
        match (text.split_once('='), text.strip_prefix('!')) {
            (Some((left, value)), _) => match left.strip_suffix('!') {
                Some(left) => Ok(TagFilter::IsNot(key(left)?, value.to_owned())),
                None => Ok(TagFilter::Is(key(left)?, value.to_owned())),
            },
            (None, Some(rest)) => Ok(TagFilter::Lacks(key(rest)?)),
            (None, None) => Ok(TagFilter::Has(key(text)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geojson;
    use crate::{Element, Shape, WayNode};
    use kappadb_core::Coord;
    use proptest::prelude::*;

    fn tag(text: &str) -> TagFilter {
        text.parse().unwrap()
    }

    fn way(tags: &[(&str, &str)], path: &[(i32, i32)]) -> Feature {
        let nodes = path
            .iter()
            .map(|&(lon, lat)| WayNode { at: Some(Coord { lon, lat }), ..WayNode::new(1) })
            .collect();
        let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Feature {
            id: "w1".to_owned(),
            body: Body::Osm(Element { shape: Shape::Way(nodes), tags, meta: None }),
        }
    }

    fn free(properties: &str) -> Feature {
        let point = r#"{"type":"Point","coordinates":[1,2]}"#;
        geojson::from_text(&format!(r#"{{"type":"Feature","geometry":{point},"properties":{properties}}}"#))
            .unwrap()
    }

    fn takes(filter: &str, feature: &Feature) -> bool {
        Filter { tags: vec![tag(filter)], ..Filter::default() }.matches(feature)
    }

    #[test]
    fn tag_filters_have_four_forms() {
        let (key, value) = (|| "amenity".to_owned(), || "cafe".to_owned());
        assert_eq!(tag("amenity"), TagFilter::Has(key()));
        assert_eq!(tag("!amenity"), TagFilter::Lacks(key()));
        assert_eq!(tag("amenity=cafe"), TagFilter::Is(key(), value()));
        assert_eq!(tag("amenity!=cafe"), TagFilter::IsNot(key(), value()));
        assert_eq!(tag("amenity="), TagFilter::Is(key(), String::new()));
        assert_eq!(
            tag("url=http://x/?a=b!=c"),
            TagFilter::Is("url".to_owned(), "http://x/?a=b!=c".to_owned())
        );
    }

    #[test]
    fn bad_filters_say_what_is_wrong() {
        let wrong = |text: &str| text.parse::<TagFilter>().unwrap_err();
        for text in ["", "!", "=cafe", "!=cafe"] {
            assert_eq!(wrong(text), FilterError::NoKey(text.to_owned()));
        }
        for text in ["!amenity=cafe", "!!amenity", "amenity!", "amenity!!=cafe", "!amenity!=cafe"] {
            assert_eq!(wrong(text), FilterError::MisplacedNot(text.to_owned()));
        }
        assert_eq!("Node".parse::<FeatureKind>(), Err(FilterError::UnknownKind("Node".to_owned())));
    }

    #[test]
    fn tags_of_elements_are_compared_as_texts() {
        let cafe = way(&[("amenity", "cafe"), ("name", "")], &[(0, 0), (1, 1)]);
        for filter in ["amenity", "amenity=cafe", "amenity!=pub", "!shop", "shop!=books", "name", "name="] {
            assert!(takes(filter, &cafe), "{filter}");
        }
        for filter in ["shop", "!amenity", "amenity=pub", "amenity!=cafe", "shop=", "Amenity", "!name"] {
            assert!(!takes(filter, &cafe), "{filter}");
        }
        let both = Filter { tags: vec![tag("amenity"), tag("shop")], ..Filter::default() };
        assert!(!both.matches(&cafe) && Filter::default().matches(&cafe));
    }

    #[test]
    fn properties_are_the_tags_of_free_features() {
        let feature =
            free(r#"{"s":"\u0061 b","n":1.50,"t":true,"z":null,"l":[1, 2],"d":1,"d":2,"o":{"in":1}}"#);
        for filter in ["s=a b", "n=1.50", "t=true", "!z", "z!=null", "l=[1,2]", "d=2", "o", "!in", "n!=1.5"] {
            assert!(takes(filter, &feature), "{filter}");
        }
        for filter in ["s=\"a b\"", "n=1.5", "z", "z=null", "d=1", "in"] {
            assert!(!takes(filter, &feature), "{filter}");
        }
        assert!(takes("!a", &free("null")) && !takes("a", &free("null")));
    }

    #[test]
    fn kinds_and_sizes() {
        let line = way(&[], &[(0, 0), (30, -40)]);
        let of = |kinds: &[FeatureKind], min_extent| Filter {
            kinds: kinds.to_vec(),
            min_extent,
            tags: Vec::new(),
        };
        assert!(of(&[FeatureKind::Node, FeatureKind::Way], 40).matches(&line));
        assert!(!of(&[FeatureKind::Way], 41).matches(&line));
        assert!(!of(&[FeatureKind::Relation], 0).matches(&line));
        assert!(of(&[FeatureKind::Free], 0).matches(&free("{}")));
        assert!(!of(&[], 1).matches(&free("{}")), "a point has no size");
        let across = way(&[], &[(1_799_999_990, 0), (-1_799_999_990, 0)]);
        assert!(of(&[], 20).matches(&across) && !of(&[], 21).matches(&across));
        let world = way(&[], &[(-1_800_000_000, 0), (0, 0), (1_800_000_000, 0)]);
        assert!(of(&[], 3_600_000_000).matches(&world));
    }

    proptest! {
        #[test]
        fn filters_are_written_as_they_are_read(text in "[!=a-c é]{0,8}") {
            if let Ok(filter) = text.parse::<TagFilter>() {
                prop_assert_eq!(filter.to_string(), text);
            }
        }

        #[test]
        fn a_look_at_the_front_of_a_body_says_no_if_and_only_if_tags_or_kind_do(
            tags in prop::collection::vec(("[ab]", "[ab]{0,2}"), 0..4),
            filters in prop::collection::vec("[ab]|![ab]|[ab]!?=[ab]{0,2}", 0..3),
            kinds in prop::sample::subsequence(vec![FeatureKind::Way, FeatureKind::Node], 0..=2),
        ) {
            let tags: Vec<_> = tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            let filter = Filter { kinds, tags: filters.iter().map(|text| tag(text)).collect(), min_extent: 0 };
            let feature = way(&tags, &[(0, 0), (1, 1)]);
            let bytes = crate::encode(&feature.body);
            prop_assert_eq!(filter.may_match(&bytes), filter.matches(&feature));
            let cut = &bytes[..bytes.len() / 4];
            prop_assert!(filter.may_match(cut) || !filter.matches(&feature), "what cannot be read says nothing");
        }

        #[test]
        fn what_is_not_so_is_otherwise(value in prop::option::of("[ab]{0,2}"), other in "[ab]{0,2}") {
            let tags: Vec<_> = value.iter().map(|value| ("k", value.as_str())).collect();
            let feature = way(&tags, &[(0, 0)]);
            prop_assert_ne!(takes(&format!("k={other}"), &feature), takes(&format!("k!={other}"), &feature));
            prop_assert_ne!(takes("k", &feature), takes("!k", &feature));
        }
    }
}
