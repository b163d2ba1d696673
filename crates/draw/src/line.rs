//! What lines of OpenStreetMap look like: roads as wide as they are, but never too thin to be seen or too wide to
//! read; the lesser ones left out from far away.

use crate::area::{GROUND, SHORE, WATER, layer};
use crate::label::Face;
use crate::style::{Order, Rgb, Stage, Style};
use kappadb_geo::Element;

/// Strokes of a line, from below, and what its name looks like.
#[derive(Debug, Default)]
pub(crate) struct LineLook {
    pub(crate) strokes: Vec<(Order, Style)>,
    pub(crate) face: Option<Face>,
    /// Of the name: the lesser comes first.
    pub(crate) priority: u8,
}

impl LineLook {
    fn one(stage: Stage, style: Style) -> LineLook {
        LineLook { strokes: vec![(Order::new(stage), style)], ..LineLook::default() }
    }
}

const INK: Rgb = Rgb(0x4d_4842);
const WATER_NAME: Face = Face::new(10.5, Rgb(0x35_6f93)).italic();

/// A class of roads.
struct Road {
    /// In reality.
    metres: f64,
    /// Of the picture, at least and at most.
    units: (f64, f64),
    fill: u32,
    casing: u32,
    rank: u8,
    /// Not drawn if a metre is less than this many units.
    from: f64,
}

const fn road(metres: f64, units: (f64, f64), colours: (u32, u32), rank: u8, from: f64) -> Road {
    Road { metres, units, fill: colours.0, casing: colours.1, rank, from }
}

const MOTORWAY: Road = road(20.0, (1.6, 44.0), (0xf2_a97f, 0xc9_7748), 9, 0.0);
const TRUNK: Road = road(18.0, (1.5, 44.0), (0xf6_bc8a, 0xcf_8a4f), 8, 0.0);
const PRIMARY: Road = road(15.0, (1.3, 40.0), (0xfb_d798, 0xd6_a85c), 7, 0.002);
const SECONDARY: Road = road(13.0, (1.0, 36.0), (0xfd_eab0, 0xd6_bb70), 6, 0.006);
const TERTIARY: Road = road(11.0, (0.8, 32.0), (0xff_ffff, 0xc4_baab), 5, 0.02);
const STREET: Road = road(9.0, (0.6, 26.0), (0xff_ffff, 0xcf_c6b8), 4, 0.05);
const MALL: Road = road(7.0, (0.6, 22.0), (0xee_e7dd, 0xd0_c5b5), 3, 0.06);
const SERVICE: Road = road(4.5, (0.5, 12.0), (0xff_ffff, 0xd8_d0c4), 2, 0.15);

/// How an open way with these tags looks, where a metre is this many units; none if it is not drawn.
pub(crate) fn look(element: &Element, per_metre: f64) -> Option<LineLook> {
    if let Some(kind) = element.tag("highway") {
        return highway(element, kind, per_metre);
    }
    if let Some(kind) = element.tag("railway") {
        return railway(element, kind, per_metre);
    }
    element
        .tag("waterway")
        .and_then(|kind| waterway(element, kind, per_metre))
        .or_else(|| barrier(element, per_metre))
        .or_else(|| other(element, per_metre))
}

fn is_set(element: &Element, key: &str) -> bool {
    element.tag(key).is_some_and(|value| value != "no")
}

fn hidden(element: &Element) -> bool {
    is_set(element, "tunnel") || layer(element) < 0 || element.tag("location") == Some("underground")
}

/// On the ground, above it on a bridge, or below it.
fn place(element: &Element, rank: u8) -> Order {
    let stage = if hidden(element) { Stage::Tunnel } else { Stage::Road };
    let level = if is_set(element, "bridge") { layer(element).max(1) } else { 0 };
    Order::new(stage).level(level).rank(rank)
}

fn highway(element: &Element, kind: &str, per_metre: f64) -> Option<LineLook> {
    let class = match kind.trim_end_matches("_link") {
        "motorway" => MOTORWAY,
        "trunk" => TRUNK,
        "primary" => PRIMARY,
        "secondary" => SECONDARY,
        "tertiary" => TERTIARY,
        "residential" | "unclassified" | "road" | "busway" => STREET,
        "living_street" | "pedestrian" => MALL,
        "service" => SERVICE,
        _ => return path(element, kind, per_metre),
    };
    let width = (metres(element, class.metres) * per_metre).clamp(class.units.0, class.units.1);
    let order = place(element, class.rank);
    let (fill, casing) = (Rgb(class.fill), Rgb(class.casing));
    let strokes = if hidden(element) {
        vec![
            (order.pass(0), Style::line(casing, width).dashed(4.0, 3.0).opacity(0.35)),
            (order.pass(1), Style::line(GROUND, (width - 1.4).max(0.2)).butt().opacity(0.8)),
        ]
    } else if width < 1.6 {
        vec![(order.pass(1), Style::line(casing, width))]
    } else {
        let bridge = order.level > 0;
        let edge =
            Style::line(if bridge { Rgb(0x9a_9085) } else { casing }, width + if bridge { 1.8 } else { 1.4 });
        let edge = if bridge { edge.butt() } else { edge };
        vec![(order.pass(0), edge), (order.pass(1), Style::line(fill, width))]
    };
    let face = (!hidden(element)).then(|| Face::new((width * 0.8).clamp(9.0, 13.0).round(), INK));
    (per_metre >= class.from).then_some(LineLook { strokes, face, priority: 39 - class.rank })
}

/// How wide a road is: by its lanes, if it says how many, or else as its class usually is.
fn metres(element: &Element, usual: f64) -> f64 {
    let one_way = matches!(element.tag("oneway"), Some("yes" | "-1" | "true" | "1"));
    match element.tag("lanes").and_then(|lanes| lanes.parse::<u8>().ok()) {
        Some(lanes) => (f64::from(lanes.min(8)) * 3.3 + 0.6).max(usual * 0.4),
        None if one_way => usual * 0.7,
        None => usual,
    }
}

fn path(element: &Element, kind: &str, per_metre: f64) -> Option<LineLook> {
    let width = (per_metre * 1.4).clamp(0.7, 2.0);
    let order = place(element, 1).pass(1);
    let style = match kind {
        "footway" | "path" | "pedestrian" | "trail" => {
            Style::line(Rgb(0xbd_8f70), width * 0.8).dashed(width * 2.2, width * 1.4)
        }
        "steps" => {
            Style::line(Rgb(0xb5_7f60), (per_metre * 2.5).clamp(1.4, 4.0)).dashed(width * 0.7, width * 0.6)
        }
        "cycleway" => Style::line(Rgb(0x7d_93b8), width * 0.8).dashed(width * 2.6, width * 1.2),
        "track" | "bridleway" => Style::line(Rgb(0xa8_8a5c), width).dashed(width * 3.0, width * 1.6),
        "raceway" => Style::line(Rgb(0xd8_c4c8), width * 2.0),
        _ => return None,
    };
    if hidden(element) || is_set(element, "indoor") {
        return None;
    }
    let from = if kind == "track" { 0.08 } else { 0.25 };
    let face = (kind != "steps" && element.tag("footway") != Some("sidewalk"))
        .then(|| Face::new(9.0, Rgb(0x86_6048)));
    (per_metre >= from).then_some(LineLook { strokes: vec![(order, style)], face, priority: 45 })
}

fn railway(element: &Element, kind: &str, per_metre: f64) -> Option<LineLook> {
    let order = place(element, 0).pass(2);
    let minor = is_set(element, "service");
    let grey = Rgb(0xa6_a0a8);
    let wide = (per_metre * 1.6).clamp(1.1, if minor { 2.4 } else { 3.2 });
    let strokes = match kind {
        "rail" | "narrow_gauge" | "light_rail" | "subway" | "preserved" | "funicular" | "monorail" => {
            match (hidden(element), per_metre >= 0.12) {
                (true, _) => vec![(order, Style::line(grey, 1.2).dashed(5.0, 4.0).opacity(0.4))],
                (false, false) => vec![(order, Style::line(grey, if minor { 0.4 } else { 0.9 }))],
                (false, true) => vec![
                    (order, Style::line(grey, wide)),
                    (order.pass(3), Style::line(Rgb(0xfa_f8f6), wide - 0.7).dashed(wide * 3.0, wide * 3.0)),
                ],
            }
        }
        "tram" if !hidden(element) => vec![(order, Style::line(Rgb(0x94_7f92), 0.8))],
        "disused" | "abandoned" | "construction" => {
            vec![(order, Style::line(grey, 1.0).dashed(3.0, 3.0).opacity(0.5))]
        }
        "platform" => {
            vec![(Order::new(Stage::Paved), Style::line(Rgb(0xc9_c1ba), (per_metre * 3.0).clamp(0.8, 6.0)))]
        }
        _ => return None,
    };
    let from = if minor || kind != "rail" { 0.1 } else { 0.003 };
    (per_metre >= from).then(|| LineLook { strokes, ..LineLook::default() })
}

fn waterway(element: &Element, kind: &str, per_metre: f64) -> Option<LineLook> {
    let (metres, least, from) = match kind {
        "river" => (12.0, 1.0, 0.001),
        "canal" | "fairway" => (8.0, 0.9, 0.01),
        "stream" | "tidal_channel" => (2.5, 0.7, 0.03),
        "drain" | "ditch" => (1.5, 0.5, 0.15),
        "dam" | "weir" | "lock_gate" => {
            return Some(LineLook::one(Stage::Barrier, Style::line(Rgb(0x9a_9a94), 1.0)));
        }
        _ => return None,
    };
    let style = Style::line(WATER, (metres * per_metre).clamp(least, 12.0));
    let style = if hidden(element) { style.dashed(4.0, 3.0).opacity(0.5) } else { style };
    let strokes = vec![(Order::new(Stage::Stream), style)];
    let face = (!hidden(element)).then_some(WATER_NAME);
    (per_metre >= from).then_some(LineLook { strokes, face, priority: 36 })
}

fn barrier(element: &Element, per_metre: f64) -> Option<LineLook> {
    let style = match (element.tag("barrier"), element.tag("natural")) {
        (_, Some("tree_row")) => Style::line(Rgb(0x9c_c487), (per_metre * 4.0).clamp(1.0, 9.0)).opacity(0.6),
        (Some("hedge"), _) => Style::line(Rgb(0x9c_c487), (per_metre * 1.2).clamp(0.6, 3.0)),
        (Some("city_wall" | "retaining_wall" | "wall"), _) => Style::line(Rgb(0xb0_a698), 0.9),
        (Some("fence" | "guard_rail" | "handrail" | "cable_barrier"), _) => Style::line(Rgb(0xc4_bbae), 0.5),
        (_, Some("cliff" | "earth_bank" | "ridge" | "arete")) => {
            Style::line(Rgb(0xac_a295), 1.0).dashed(2.0, 1.0)
        }
        _ => return None,
    };
    let from = if element.tag("natural").is_some() { 0.15 } else { 0.7 };
    (per_metre >= from && !hidden(element)).then(|| LineLook::one(Stage::Barrier, style))
}

fn other(element: &Element, per_metre: f64) -> Option<LineLook> {
    let near = |from: f64, look: LineLook| (per_metre >= from).then_some(look);
    match (element.tag("natural"), element.tag("man_made"), element.tag("route"), element.tag("power")) {
        (Some("coastline"), ..) => Some(LineLook::one(Stage::Stream, Style::line(SHORE, 1.0))),
        (_, Some("pier" | "breakwater" | "groyne" | "quay"), ..) => {
            let width = (per_metre * 3.0).clamp(0.7, 7.0);
            near(0.05, LineLook::one(Stage::Paved, Style::line(Rgb(0xe6_dfd2), width)))
        }
        (_, _, Some("ferry"), _) => {
            Some(LineLook::one(Stage::Stream, Style::line(Rgb(0x6f_a3c4), 0.9).dashed(5.0, 4.0)))
        }
        (.., Some("line")) => near(0.03, LineLook::one(Stage::Barrier, Style::line(Rgb(0xc2_bdb8), 0.5))),
        _ => aerial(element, per_metre).or_else(|| boundary(element)),
    }
}

fn aerial(element: &Element, per_metre: f64) -> Option<LineLook> {
    let width = match element.tag("aeroway") {
        Some("runway") => (per_metre * 45.0).clamp(1.0, 50.0),
        Some("taxiway") => (per_metre * 18.0).clamp(0.5, 20.0),
        _ => {
            let lift = element.tag("aerialway")?;
            let style = Style::line(Rgb(0x9a_9494), 0.8).dashed(6.0, 2.0);
            return (lift != "pylon").then(|| LineLook::one(Stage::Barrier, style));
        }
    };
    Some(LineLook::one(Stage::Paved, Style::line(Rgb(0xd3_d0d6), width)))
}

/// How the border of an administrative area looks; none for small ones and other boundaries.
pub(crate) fn boundary(element: &Element) -> Option<LineLook> {
    let level: u8 = element
        .tag("admin_level")
        .filter(|_| element.tag("boundary") == Some("administrative"))?
        .parse()
        .ok()?;
    let width = match level {
        0..=2 => 2.0,
        3..=4 => 1.6,
        5..=8 => 1.2,
        _ => return None,
    };
    let style = Style::line(Rgb(0xa0_7fae), width).dashed(width * 6.0, width * 2.5).opacity(0.45);
    Some(LineLook::one(Stage::Boundary, style))
}
