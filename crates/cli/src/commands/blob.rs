//! `blob put|get|list|info` and `map attach`: files in and out, streamed.

use super::Context;
use crate::args::{AskArgs, BlobGetArgs, ByteRange, EntryText, Limit};
use crate::commands::question::look_first;
use crate::console::{self, Console, size};
use crate::exit::Exit;
use crate::outside::Source;
use anyhow::{Context as _, ensure};
use kappadb::{BlobInfo, BlobReader, Database, EntryId, Label, Progress};
use std::io::{self, Read as _, Write};
use std::path::Path;
use std::pin::Pin;
use std::task::{self, Poll};
use tokio::io::{AsyncRead, ReadBuf};

pub async fn put(
    context: &Context,
    file: &Path,
    media_type: Option<String>,
    name: Option<String>,
) -> anyhow::Result<()> {
    let label =
        Label { media_type: media_type.unwrap_or_default(), name: name.unwrap_or_else(|| name_of(file)) };
    let input = Metered::open(&context.console, file)?;
    let database = context.open().await?;
    let id = database.blobs().put(input, label).await.with_context(|| format!("{}", file.display()))?;
    tell(&context.console, &database, id).await?;
    context.close(database).await
}

pub async fn attach(
    context: &Context,
    feature: &str,
    local: bool,
    file: &Path,
    name: Option<String>,
    media_type: Option<String>,
) -> anyhow::Result<()> {
    let label = Label { media_type: media_type.unwrap_or_default(), name: name_of(file) };
    let name = name.unwrap_or_else(|| label.name.clone());
    let input = Metered::open(&context.console, file)?;
    let database = context.open().await?;
    look_first(&context.console, &database, local, database.map().get(feature)).await?;
    let id = database.map().attach(feature, &name, input, label).await?;
    tell(&context.console, &database, id).await?;
    context.close(database).await
}

/// Blobs read at a time.
const PAGE: usize = 1_000;

pub async fn list(
    context: &Context,
    limit: Limit,
    after: Option<EntryText>,
    ask: AskArgs,
) -> anyhow::Result<Exit> {
    context
        .read(ask, async |database, question| {
            let after = match after {
                Some(after) => Some(after.find(database).await?),
                None => None,
            };
            let (mut left, mut printed) = (limit.number().unwrap_or(usize::MAX), 0);
            let mut page = question.read(database.blobs().list(after, left.min(PAGE))).await?;
            loop {
                for info in &page.items {
                    context.console.result(&console::fields(info), &in_a_line(&context.console, info))?;
                }
                (left, printed) = (left - page.items.len(), printed + page.items.len());
                match page.next {
                    None => return Ok(printed),
                    Some(last) if left == 0 => {
                        question.go_on_with(last);
                        return Ok(printed);
                    }
                    // Peers were asked for all of them.
                    Some(last) => page = database.blobs().list(Some(last), left.min(PAGE)).await?,
                }
            }
        })
        .await
}

fn in_a_line(console: &Console, info: &BlobInfo) -> String {
    let whole = if info.held == info.bytes { String::new() } else { format!(", {} held", size(info.held)) };
    let label = [&info.label.name, &info.label.media_type].into_iter().filter(|text| !text.is_empty());
    let label: Vec<_> = label.map(|text| text.to_string()).collect();
    format!("{} {} {}{whole} {}", console.time(info.time), info.id, size(info.bytes), label.join(" "))
        .trim_end()
        .to_owned()
}

pub async fn info(context: &Context, id: &EntryText, ask: AskArgs) -> anyhow::Result<Exit> {
    context
        .read(ask, async |database, question| {
            let id = id.find(database).await?;
            question.fetch(database.blobs().fetch(id, 0..0)).await?;
            let info = database.blobs().info(id).await?;
            if context.console.is_json() {
                context.console.json_line(&console::fields(&info))?;
            } else {
                print(&context.console, &info)?;
            }
            Ok(1)
        })
        .await
}

fn print(console: &Console, info: &BlobInfo) -> anyhow::Result<()> {
    console.line(&format!("blob  {}", info.id))?;
    console.line(&format!("size  {} ({} bytes), {} held", size(info.bytes), info.bytes, size(info.held)))?;
    for (what, text) in [("type", &info.label.media_type), ("name", &info.label.name)] {
        if !text.is_empty() {
            console.line(&format!("{what}  {}", text))?;
        }
    }
    Ok(())
}

pub async fn get(context: &Context, args: &BlobGetArgs) -> anyhow::Result<Exit> {
    let range = args.range.unwrap_or(ByteRange::ALL);
    context
        .read(args.ask, async |database, question| {
            let (blobs, id) = (database.blobs(), args.id.find(database).await?);
            // Of the last bytes it is not known yet where they are: this fetches the entry that says it, and nothing else.
            question.fetch(blobs.fetch(id, range.of(u64::MAX))).await?;
            let bytes = blobs.info(id).await?.bytes;
            let wanted = range.of(bytes);
            ensure!(
                !wanted.is_empty() || args.range.is_none(),
                "the blob has {bytes} bytes, none of them in the range"
            );
            if matches!(range, ByteRange::Last(_)) {
                question.fetch(blobs.fetch(id, wanted.clone())).await?;
            }
            let reader = blobs.read(id, wanted).await?;
            match &args.output {
                Some(path) => {
                    context.console.replace(path, async |mut out| copy(reader, &mut out).await).await?
                }
                None => copy(reader, &mut context.console.stdout()).await?,
            }
            Ok(1)
        })
        .await
}

async fn copy(mut reader: BlobReader, out: &mut impl Write) -> anyhow::Result<()> {
    while let Some(bytes) = reader.next().await? {
        out.write_all(&bytes)?;
    }
    Ok(out.flush()?)
}

/// A file's content, or stdin's for `-`; people see how much of it was read.
struct Metered {
    source: Source,
    console: Console,
    progress: Progress,
}

impl Metered {
    fn open(console: &Console, file: &Path) -> anyhow::Result<Metered> {
        let source = console.open(file)?;
        let progress = Progress { task: "writing", done: 0, total: source.length };
        Ok(Metered { source, console: console.clone(), progress })
    }
}

impl AsyncRead for Metered {
    /// Blocks: a command has its thread for itself.
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = self.source.read(buf.initialize_unfilled())?;
        buf.advance(read);
        self.progress.done += read as u64;
        if self.progress.total > 0 {
            self.console.bar(self.progress);
        }
        Poll::Ready(Ok(()))
    }
}

fn name_of(file: &Path) -> String {
    let name = file.file_name().filter(|_| file != Path::new("-"));
    name.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

async fn tell(console: &Console, database: &Database, id: EntryId) -> anyhow::Result<()> {
    console.result(&console::fields(&database.blobs().info(id).await?), &id.to_string())
}
