//! Map features: model, body codec, GeoJSON, drawing.
