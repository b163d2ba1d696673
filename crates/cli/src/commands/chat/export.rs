//! `chat export`: JSON lines that `chat import` takes.

use super::Context;
use crate::args::AskArgs;
use crate::console::{Console, count};
use crate::exit::Exit;
use kappadb::ChatLeftOut;
use serde_json::json;

pub async fn run(context: &Context, ask: AskArgs) -> anyhow::Result<Exit> {
    let mut left_out = ChatLeftOut::default();
    let exit = context
        .read(ask, async |database, question| {
            let (mut export, mut printed) = (question.put(database.chat().export()).await?, 0);
            question.note(std::mem::take(&mut export.asked))?;
            while let Some(lines) = export.next().await? {
                lines.iter().try_for_each(|line| context.console.json_line(line))?;
                printed += lines.len();
            }
            left_out = export.left_out();
            tell(&context.console, left_out);
            Ok(printed)
        })
        .await?;
    let whole = left_out.not_held == 0 && left_out.unknown == 0;
    Ok(if whole { exit } else { Exit::Failed })
}

fn tell(console: &Console, ChatLeftOut { sealed, not_held, unknown }: ChatLeftOut) {
    let told = [
        (sealed, "that is private between others"),
        (not_held, "whose text is not held here"),
        (unknown, "of which nothing is known here"),
    ];
    let words: Vec<String> =
        told.iter().filter(|(n, _)| *n > 0).map(|(n, why)| format!("{} {why}", count(*n, "entry"))).collect();
    if !words.is_empty() {
        let value = json!({ "left_out": { "sealed": sealed, "not_held": not_held, "unknown": unknown } });
        console.remark(&value, &format!("left out: {}", words.join(", ")));
    }
}
