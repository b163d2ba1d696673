//! Map features: bodies in blocks, and GeoJSON.

use crate::Input;
use kappadb_core::Extent;
use kappadb_geo::{Body, Feature, FeatureError, decode, encode, geojson, hilbert, put, svg};

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

/// What holds of every feature in a block.
pub(crate) fn check(feature: &Feature) {
    let extent = feature.extent();
    assert!((1..=2).contains(&extent.boxes().len()));
    let prepared = put(feature).expect("what was read can be written");
    assert_eq!(prepared.places.extents.len(), extent.boxes().len());
    hilbert(&extent);
    let text = geojson::to_text(feature);
    assert!(!text.contains('\n'));
    if let Body::Free(_) = feature.body {
        assert_eq!(geojson::from_text(&text).as_ref(), Ok(feature), "{text}");
    }
    let world = Extent::from(kappadb_core::GeoBox::WORLD);
    let shapes = [svg::Shape { feature: feature.clone(), fetched: true }];
    for view in [&world, &extent] {
        let picture = svg::render(view, &shapes);
        let mut drawn = picture.lines().filter(|line| !line.starts_with("<text"));
        assert!(drawn.all(|line| !line.contains("NaN") && !line.contains("inf")), "{picture}");
    }
}
