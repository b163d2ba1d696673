//! `kappadb-keys-only FOLDER NEW`: a program for keys and values alone, on a folder that has a map and chat as well. It reads and writes keys there,
//! and makes a full copy of the folder in NEW, with all that it knows nothing of.

use kappadb::{Database, Interest, Source};
use std::error::Error;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut folders = std::env::args().skip(1);
    let (Some(folder), Some(new)) = (folders.next(), folders.next()) else {
        return Err("name a folder, and one that is to be made".into());
    };
    let database = Database::builder(folder).open().await?;
    let value = database.kv().get("tea").await?.one().ok_or("the key is not there")?;
    assert_eq!(value.text(), Some("green"));
    database.kv().put("tea", "black").await?;
    assert_eq!(database.verify().await?, [""; 0]);
    database.compact().await?;

    let server = database.serve(([127, 0, 0, 1], 0).into()).await?;
    let copy = Database::builder(new).join(&server.ticket()).await?;
    let all = copy.replicate(&Interest::Everything).from(Source::Peers).await?;
    assert!(all.is_complete(), "{all:?}");
    assert_eq!(copy.kv().get("tea").await?.one().ok_or("the key did not come")?.text(), Some("black"));
    // What belongs to a view that it was built without is not answered, and that is told.
    for interest in ["channel tea", "private", "map"] {
        assert!(copy.replicate(&interest.parse()?).from(Source::Peers).await.is_err(), "{interest}");
    }
    server.stop().await;
    copy.close().await?;
    Ok(database.close().await?)
}
