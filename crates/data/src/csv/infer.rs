//! What the columns hold, from the first records: numbers, dates or text.
use super::chunk::{Column, Layout};
use super::column::{Kind, Sink, Text};
use crate::error::Fault;

/// Gives each column of `layout` that says text and is in `open` the kind that all cells of the sample have. A column without a single value holds numbers.
pub fn infer(layout: &mut Layout, sample: &[u8], open: &[bool], number: Kind) -> Result<(), Fault> {
    let all = layout.columns.iter().map(|column| Column { name: column.name.clone(), kind: Some(Kind::Text) }).collect();
    let text = Layout { marks: layout.marks, decimal: layout.decimal, missing: layout.missing.clone(), columns: all };
    let sinks = layout.columns.iter().map(|_| Sink::Text(Text::default())).collect();
    let chunk = text.parse(sample, sinks)?;
    for ((column, cells), open) in layout.columns.iter_mut().zip(&chunk.texts).zip(open) {
        if let (true, Some(cells)) = (open, cells) {
            let kinds = [number, Kind::Date];
            column.kind = Some(kinds.into_iter().find(|kind| holds(&text, *kind, cells)).unwrap_or(Kind::Text));
        }
    }
    Ok(())
}

fn holds(layout: &Layout, kind: Kind, cells: &Text) -> bool {
    (0..cells.ends.len()).all(|k| {
        let cell = cells.cell(k).trim_ascii();
        layout.is_missing(cell) || layout.value(kind, cell).is_some()
    })
}
