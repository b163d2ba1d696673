//! Readers of .osm.pbf and GeoJSON, checked whole before they hand out a feature.
