//! Places by example: what touches and contains what at every edge, and how too many of them are merged.

use kappadb_core::limits::MAX_PAST_PLACES;
use kappadb_core::{Extent, GeoBox};
use kappadb_entry::{Moment, Places};

fn moment(from: i64, to: i64) -> Moment {
    Moment { channel: b"c".to_vec(), from, to }
}

fn elsewhere(from: i64, to: i64) -> Moment {
    Moment { channel: b"d".to_vec(), from, to }
}

fn point(west: i32) -> GeoBox {
    GeoBox { west, south: 0, east: west, north: 0 }
}

#[test]
fn moments_touch_within_one_channel() {
    let at = moment(10, 20);
    for (from, to, touches) in
        [(0, 9, false), (0, 10, true), (12, 13, true), (0, 99, true), (20, 30, true), (21, 30, false)]
    {
        assert_eq!(at.intersects(&moment(from, to)), touches, "{from}..{to}");
        assert_eq!(moment(from, to).intersects(&at), touches, "{from}..{to}");
        assert!(!at.intersects(&elsewhere(from, to)));
    }
}

#[test]
fn moments_contain_what_is_within_in_one_channel() {
    let at = moment(10, 20);
    for (from, to, within) in
        [(10, 20, true), (12, 13, true), (9, 20, false), (10, 21, false), (30, 31, false)]
    {
        assert_eq!(at.contains(&moment(from, to)), within, "{from}..{to}");
        assert!(!at.contains(&elsewhere(from, to)));
    }
}

#[test]
fn nowhere_is_empty_and_within_every_place() {
    let on_map = Places::on_map(&Extent::from(point(1)));
    let in_channel = Places::new(Vec::new(), vec![moment(1, 2)]);
    assert!(Places::NOWHERE.is_empty() && Places::NOWHERE.contains(&Places::NOWHERE));
    for places in [&on_map, &in_channel] {
        assert!(!places.is_empty() && places.contains(&Places::NOWHERE) && !Places::NOWHERE.contains(places));
    }
    assert_eq!(on_map, Places { extents: vec![point(1)], moments: Vec::new() });
    let both = Places::new(vec![point(1)], vec![moment(1, 2)]);
    assert!(both.contains(&on_map) && both.contains(&in_channel));
    assert!(!on_map.contains(&both) && !in_channel.contains(&both));
}

#[test]
fn as_many_places_as_fit_are_kept_as_they_are() {
    let most = i32::try_from(MAX_PAST_PLACES).unwrap_or(0);
    let boxes: Vec<GeoBox> = (0..most).map(|n| point(1_000 * n)).collect();
    let moments: Vec<Moment> =
        (0..most).map(|n| moment(1_000 * i64::from(n), 1_000 * i64::from(n))).collect();
    let all = Places::new(boxes, moments);
    assert_eq!(Places::covering([&all]), all);
}

#[test]
fn what_lies_within_another_is_left_out_of_a_cover() {
    let wide = GeoBox { west: 0, south: 0, east: 9, north: 9 };
    let parts = [
        Places::new(vec![point(3)], vec![moment(3, 4)]),
        Places::new(vec![wide], vec![moment(0, 9)]),
        Places::new(vec![point(4)], vec![moment(9, 9), elsewhere(3, 4)]),
    ];
    let expected = Places::new(vec![wide], vec![moment(0, 9), elsewhere(3, 4)]);
    assert_eq!(Places::covering(&parts), expected);
    assert_eq!(Places::covering(parts.iter().rev()), expected);
}

/// Far from each other and from all below 0: what comes first in a list is not what is merged.
fn far() -> impl Iterator<Item = i32> {
    (1..).map(|n| -1_000_000 * n).take(MAX_PAST_PLACES - 3)
}

#[test]
fn of_too_many_boxes_the_two_whose_hull_adds_least_are_merged() {
    let large = |west: i32| GeoBox { west, south: 0, east: west + 100, north: 100 };
    let others: Vec<GeoBox> = far().chain([200_000, 200_050]).map(point).collect();
    // Two that overlap add less than nothing: less than two points side by side do.
    let all = Places::new([&others[..], &[large(0), large(1)]].concat(), Vec::new());
    let hull = GeoBox { east: 101, ..large(0) };
    assert_eq!(all.extents.len(), MAX_PAST_PLACES + 1);
    assert_eq!(Places::covering([&all]), Places::new([&others[..], &[hull]].concat(), Vec::new()));
    // Two points side by side add less than two large boxes a little way off.
    let all = Places::new([&others[..], &[large(0), large(400)]].concat(), Vec::new());
    let line = GeoBox { east: 200_050, ..point(200_000) };
    let expected = far().map(point).chain([line, large(0), large(400)]).collect();
    assert_eq!(Places::covering([&all]), Places::new(expected, Vec::new()));
}

#[test]
fn of_too_many_moments_the_two_whose_hull_adds_least_are_merged() {
    let instant = |at: i32| moment(at.into(), at.into());
    let others: Vec<Moment> = far().chain([200_000, 200_050]).map(instant).collect();
    let all = Places::new(Vec::new(), [&others[..], &[moment(0, 100), moment(1, 101)]].concat());
    assert_eq!(all.moments.len(), MAX_PAST_PLACES + 1);
    let expected = [&others[..], &[moment(0, 101)]].concat();
    assert_eq!(Places::covering([&all]), Places::new(Vec::new(), expected));
    let all = Places::new(Vec::new(), [&others[..], &[moment(0, 100), moment(400, 500)]].concat());
    let expected = far().map(instant).chain([moment(200_000, 200_050), moment(0, 100), moment(400, 500)]);
    assert_eq!(Places::covering([&all]), Places::new(Vec::new(), expected.collect()));
}
