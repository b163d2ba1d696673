//! Just enough of XML to write.

use kappadb_core::Coord;
use kappadb_geo::{Element, ElementKind, Meta, Shape};
use std::fmt::Write;

/// With characters by number where XML would change them.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '<' | '&' | '"' | '\t' | '\n' | '\r' => write!(out, "&#{};", u32::from(c)).unwrap(),
            c => out.push(c),
        }
    }
    out
}

fn attributes(meta: &Option<Meta>) -> String {
    let Some(meta) = meta else { return String::new() };
    format!(
        r#" version="{}" changeset="{}" uid="{}" user="{}""#,
        meta.version,
        meta.changeset,
        meta.uid,
        escape(&meta.user)
    )
}

pub fn degrees(units: i32) -> String {
    let (sign, units) = (if units < 0 { "-" } else { "" }, units.unsigned_abs());
    format!("{sign}{}.{:07}", units / 10_000_000, units % 10_000_000)
}

fn position(at: Option<Coord>) -> String {
    at.map_or_else(String::new, |at| format!(r#" lat="{}" lon="{}""#, degrees(at.lat), degrees(at.lon)))
}

/// An element. Its ways' positions are in their nodes, which may come without.
pub fn element(id: i64, element: &Element, positions: bool) -> String {
    let kind = element.shape.kind().name();
    let mut out = format!(r#"<{kind} id="{id}"{}"#, attributes(&element.meta));
    match &element.shape {
        Shape::Node(at) => write!(out, "{}>", position(Some(*at))).unwrap(),
        Shape::Way(nodes) => {
            out.push('>');
            for node in nodes {
                let at = position(node.at.filter(|_| positions));
                writeln!(out, r#"<nd ref="{}"{at}/>"#, node.id).unwrap();
            }
        }
        Shape::Relation { members, .. } => {
            out.push('>');
            for member in members {
                let (kind, role) = (member.kind.name(), escape(&member.role));
                writeln!(out, r#"<member type="{kind}" ref="{}" role="{role}"/>"#, member.id).unwrap();
            }
        }
    }
    for (key, value) in &element.tags {
        writeln!(out, r#"<tag k="{}" v="{}"/>"#, escape(key), escape(value)).unwrap();
    }
    writeln!(out, "</{kind}>").unwrap();
    out
}

/// A delete.
pub fn gone(kind: ElementKind, id: i64, meta: &Option<Meta>) -> String {
    format!("<{} id=\"{id}\"{} visible=\"false\"/>\n", kind.name(), attributes(meta))
}
