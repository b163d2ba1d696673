//! Asking peers for what a file touches, before it is applied (`design/map.md`, "A replica that holds a part").

use super::{ImportError, ImportFile};
use crate::error::ReadError;
use crate::network::{Asked, Neighbours};
use crate::views::map::Map;
use crate::views::map::change::touched::{Asking, Touched};
use kappadb_geo::ElementKind;
use kappadb_geo::id::osm;
use kappadb_import::{Import, Item};
use tokio::sync::mpsc;

/// Ids that are asked for at once, about: what bounds memory.
const CHUNK: usize = 1_000;

/// What came of asking for what a file touches.
#[derive(Debug)]
#[non_exhaustive]
pub struct TouchedByImport {
    /// What came of it in all.
    pub asked: Asked,
    /// Elements and features that the file speaks of.
    pub touched: u64,
    /// Of these, how many there are of which peers may know what is not known here.
    pub unknown: u64,
}

/// As [`Map::touched_by_import`] says.
pub(super) async fn ask_touched(
    map: &Map,
    mut file: ImportFile,
) -> Result<(ImportFile, TouchedByImport), ImportError> {
    let mut neighbours = Neighbours::dial(&map.parts).await;
    if map.parts.peers.is_empty() {
        let asked = neighbours.finish().await?;
        return Ok((file, TouchedByImport { asked, touched: 0, unknown: 0 }));
    }
    let (send, mut chunks) = mpsc::channel(1);
    let reading = map.run(move |parts| {
        let total = file.import.len();
        let read = each_chunk(&mut file.import, &mut |chunk, done| {
            parts.progress("asking", done, total);
            // Nobody takes it any more if asking failed, which is told then.
            drop(send.blocking_send(chunk));
        });
        parts.progress("asking", total, total);
        read.map(|()| file)
    });
    let parts = map.parts.clone();
    let asked = async move {
        let mut asking = Asking::of(parts, &mut neighbours);
        while let Some(chunk) = chunks.recv().await {
            asking.ask(chunk).await?;
        }
        let Asking { touched, unknown, .. } = asking;
        Ok::<_, ReadError>(TouchedByImport { asked: neighbours.finish().await?, touched, unknown })
    };
    let (read, asked) = tokio::join!(reading, asked);
    Ok((read??, asked?))
}

/// Gives what a file touches, some at a time, with how many items are done.
fn each_chunk(file: &mut Import, each: &mut dyn FnMut(Touched, u64)) -> Result<(), ImportError> {
    let (mut touched, mut next) = (Touched::default(), 0);
    loop {
        let items = file.items_from(next, |_, _| true)?.take(CHUNK).collect::<Result<Vec<_>, _>>()?;
        let Some((last, _)) = items.last() else { break };
        for (_, item) in &items {
            touched.take(item, file)?;
            if touched.is_full() {
                each(std::mem::take(&mut touched), next as u64);
            }
        }
        next = last + 1;
    }
    let done = next as u64;
    file.each_bare::<ImportError>(&mut |said| {
        touched.count += u64::from(!said.of_way);
        touched.own.insert(osm(ElementKind::Node, said.node.id));
        if touched.is_full() {
            each(std::mem::take(&mut touched), done);
        }
        Ok(())
    })?;
    each(touched, done);
    Ok(())
}

impl Touched {
    fn is_full(&self) -> bool {
        self.own.len() + self.path.len() + self.members.len() >= CHUNK
    }

    fn take(&mut self, item: &Item, file: &mut Import) -> Result<(), ImportError> {
        self.count += 1;
        self.own.insert(item.id().to_owned());
        match item {
            Item::Put { feature, .. } => {
                self.take_parts(&feature.body, &mut |node| Ok::<_, ImportError>(file.said(node)?.is_some()))
            }
            Item::Delete { .. } => Ok(()),
        }
    }
}
