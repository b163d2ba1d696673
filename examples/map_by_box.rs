//! Two replicas of one map: the second fetches only what lies in a box.
//!
//! `cargo run -p kappadb-examples --example map_by_box`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use kappadb::{Database, Extent, Source, geojson};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;

    // Somebody keeps a map of two cafés ...
    let full = Database::builder(scratch.path().join("full")).create().await?;
    for (name, lon, lat) in [("Kolme Kaisaa", 24.947, 60.172), ("Zum Anker", 13.377, 52.518)] {
        let feature = format!(
            r#"{{"type": "Feature", "id": "{name}", "properties": {{"amenity": "cafe"}},
                "geometry": {{"type": "Point", "coordinates": [{lon}, {lat}]}}}}"#
        );
        full.map().put(geojson::from_text(&feature)?).await?;
    }
    let server = full.serve(([127, 0, 0, 1], 0).into()).await?;

    // ... and somebody else, in Helsinki, joins with a ticket and asks for a box.
    let mine = Database::builder(scratch.path().join("mine")).join(&server.ticket()).await?;
    let helsinki: Extent = "24.9,60.1,25.0,60.2".parse()?;
    let answer = mine.map().query(&helsinki, None).from(Source::Peers).await?;
    println!("fetched {} block, complete: {}", answer.asked.blocks_fetched, answer.is_complete());

    let hits = mine.map().query(&helsinki, None).await?.items;
    for found in mine.map().load(&hits).await?.items {
        println!("{}", found.id);
    }
    assert_eq!(hits.len(), 1);

    mine.close().await?;
    server.stop().await;
    full.close().await?;
    Ok(())
}
