//! Map features: bodies in blocks, deletes, GeoJSON, filters.

use crate::Input;
use crate::codecs::is_written_as_read;
use kappadb_core::Extent;
use kappadb_draw as svg;
use kappadb_geo::osm_xml::{Writer, XmlError};
use kappadb_geo::{
    Body, Feature, FeatureError, FeatureKind, Filter, TagFilter, decode, decode_delete, encode, geojson,
    hilbert, merge, put,
};

/// A feature: its id in a chunk, then its body.
pub fn feature(data: &[u8]) {
    let mut input = Input::new(data);
    let Ok(id) = std::str::from_utf8(input.chunk()) else { return };
    let body = input.rest();
    let Ok(feature) = decode(id, body) else { return };
    assert_eq!(encode(&feature.body), body);
    check(&feature);
}

/// The text of one GeoJSON feature.
pub fn geojson(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(feature) = geojson::from_text(text) else { return };
    match put(&feature) {
        Ok(prepared) => {
            assert_eq!(decode(&feature.id, &prepared.payload).as_ref(), Ok(&feature));
            check(&feature);
        }
        Err(error) => assert!(matches!(error, FeatureError::TooLarge { .. }), "{error}"),
    }
}

/// The payload of an entry that deletes a feature.
pub fn delete(data: &[u8]) {
    let Ok(edit) = decode_delete(data) else { return };
    let again = kappadb_geo::delete("n1", edit.as_ref()).expect("what was read can be written");
    assert_eq!(again.payload, data);
}

/// A filter in a chunk, as people type it, then the text of a feature.
pub fn filter(data: &[u8]) {
    let mut input = Input::new(data);
    let Ok(filter) = std::str::from_utf8(input.chunk()) else { return };
    is_written_as_read::<FeatureKind>(filter);
    is_written_as_read::<TagFilter>(filter);
    let Ok(filter) = filter.parse::<TagFilter>() else { return };
    let Ok(feature) = std::str::from_utf8(input.rest())
        .map_err(drop)
        .and_then(|text| geojson::from_text(text).map_err(drop))
    else {
        return;
    };
    let opposite = match filter.clone() {
        TagFilter::Has(key) => TagFilter::Lacks(key),
        TagFilter::Lacks(key) => TagFilter::Has(key),
        TagFilter::Is(key, value) => TagFilter::IsNot(key, value),
        TagFilter::IsNot(key, value) => TagFilter::Is(key, value),
    };
    let takes = |tag| Filter { tags: vec![tag], ..Filter::default() }.matches(&feature);
    assert_ne!(takes(filter), takes(opposite));
}

/// What holds of every feature in a block.
pub(crate) fn check(feature: &Feature) {
    let extent = feature.extent();
    assert!((1..=2).contains(&extent.boxes().len()));
    let prepared = put(feature).expect("what was read can be written");
    assert_eq!(prepared.places.extents.len(), extent.boxes().len());
    hilbert(&extent);
    let text = geojson::to_text(feature);
    assert!(!text.contains('\n'));
    match &feature.body {
        Body::Free(_) => assert_eq!(geojson::from_text(&text).as_ref(), Ok(feature), "{text}"),
        // Twice a key, edits that say nothing and a box in two parts have no form in it.
        Body::Osm(_) => assert!(geojson::from_text(&text).is_ok_and(|read| read.id == feature.id), "{text}"),
    }
    assert_eq!(merge(&[feature, feature]).as_ref(), Some(feature));
    let mut writer = Writer::begin(Vec::new(), Some(&extent)).expect("memory takes all");
    match writer.write(feature) {
        Ok(()) => assert!(matches!(feature.body, Body::Osm(_))),
        Err(error) => assert!(matches!(error, XmlError::NotAnElement { .. } | XmlError::TextTooLong { .. })),
    }
    let xml = writer.finish().expect("memory takes all");
    assert!(String::from_utf8(xml).is_ok_and(|xml| xml.ends_with("</osm>\n")));
    let world = Extent::from(kappadb_core::GeoBox::WORLD);
    let shapes = [svg::Shape { feature: feature.clone(), fetched: true }];
    for view in [&world, &extent] {
        let picture = svg::render(view, &shapes);
        let mut drawn = picture.lines().filter(|line| !line.starts_with("<text"));
        assert!(drawn.all(|line| !line.contains("NaN") && !line.contains("inf")), "{picture}");
    }
}
