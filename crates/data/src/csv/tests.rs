//! Tables from texts, in blocks of every size.
use super::*;
use crate::error::{Code, Place};
use std::fmt::Write;

fn table(text: &str, options: &Options) -> Table {
    let whole = read(text.as_bytes(), None, options).unwrap();
    for block in [1, 7, 64, 1000] {
        let again = read_in_blocks(text.as_bytes(), None, options, block, 2).unwrap();
        assert_eq!(format!("{again:?}"), format!("{whole:?}"), "blocks of {block}");
    }
    whole
}

fn fault(text: &str, options: &Options) -> Fault {
    read(text.as_bytes(), None, options).unwrap_err()
}

fn numbers<'a>(table: &'a Table, name: &str) -> &'a [f64] {
    match table.columns.iter().find(|column| column.name == name).map(|column| &column.values) {
        Some(Values::Float64(values)) => values,
        other => panic!("{name}: {other:?}"),
    }
}

fn words(table: &Table, name: &str) -> Vec<String> {
    match table.columns.iter().find(|column| column.name == name).map(|column| &column.values) {
        Some(Values::Text(text)) => (0..table.rows).map(|k| String::from_utf8(text.cell(k).to_vec()).unwrap()).collect(),
        other => panic!("{name}: {other:?}"),
    }
}

fn kinds(table: &Table) -> Vec<(&str, Kind)> {
    table.columns.iter().map(|column| (column.name.as_str(), column.kind)).collect()
}

#[test]
fn columns_are_numbers_dates_or_text() {
    let text = "\u{feff}time,temp,wind,place\r\n2024-01-01,-1.5,3,\"Ulm, \"\"old\"\" town\"\r\n2024-01-02T06:00, 2.25 ,NA,\"two\nlines\"\r\n\r\n2024-01-03,,1e3,é";
    let table = table(text, &Options::default());
    assert_eq!(table.rows, 3);
    assert_eq!(kinds(&table), [("time", Kind::Date), ("temp", Kind::Float64), ("wind", Kind::Float64), ("place", Kind::Text)]);
    assert_eq!(numbers(&table, "time"), [1_704_067_200_000.0, 1_704_175_200_000.0, 1_704_240_000_000.0]);
    assert_eq!(numbers(&table, "temp")[..2], [-1.5, 2.25]);
    assert!(numbers(&table, "temp")[2].is_nan() && numbers(&table, "wind")[1].is_nan());
    assert_eq!(words(&table, "place"), ["Ulm, \"old\" town", "two\nlines", "é"]);
}

#[test]
fn names_come_from_the_options_or_are_made_and_differ() {
    let none = Options { header: Header::None, ..Options::default() };
    assert_eq!(kinds(&table("1,a\n2,b", &none)), [("column1", Kind::Float64), ("column2", Kind::Text)]);
    let given = Options { header: Header::Names(vec!["a".into(), "b".into()]), ..Options::default() };
    assert_eq!(numbers(&table("1,2\n3,4\n", &given), "b"), [2.0, 4.0]);
    assert_eq!(
        kinds(&table("x,,x,x_2\n1,2,3,4", &Options::default())).iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["x", "column2", "x_2", "x_2_2"]
    );
}

#[test]
fn only_the_columns_asked_for_are_kept_in_that_order_and_typed_as_said() {
    let options = Options {
        columns: Some(vec!["c".into(), "a".into()]),
        kinds: HashMap::from([("a".into(), Kind::Text), ("c".into(), Kind::Float32)]),
        ..Options::default()
    };
    let table = table("a,b,c\n1,x,2.5\n2,y,-", &Options { missing: vec!["-".into()], ..options.clone() });
    assert_eq!(kinds(&table), [("c", Kind::Float32), ("a", Kind::Text)]);
    assert_eq!(words(&table, "a"), ["1", "2"]);
    assert!(matches!(&table.columns[0].values, Values::Float32(values) if values[0] == 2.5 && values[1].is_nan()));
    assert_eq!(fault("a\n1", &options).code, Code::Argument);
}

#[test]
fn other_delimiters_decimals_quotes_and_sentinels() {
    let options = Options { delimiter: b';', decimal: b',', missing: vec!["-999".into()], ..Options::default() };
    let semicolons = table("a;b\n1,5;-999\n\"2,5\";-999,0\n;7", &options);
    assert_eq!(numbers(&semicolons, "a")[..2], [1.5, 2.5]);
    assert_eq!(numbers(&semicolons, "b").iter().map(|value| value.is_nan()).collect::<Vec<_>>(), [true, true, false]);
    let options = Options { delimiter: b'\t', quote: None, ..Options::default() };
    assert_eq!(words(&table("a\tb\n5\" pipe\t1\n\"\t2", &options), "a"), ["5\" pipe", "\""]);
    let same = Options { delimiter: b'.', ..Options::default() };
    assert_eq!(fault("a", &same).code, Code::Argument);
}

#[test]
fn a_fault_names_line_and_column_whatever_stands_above_it() {
    let above = "\n\na,b\n\"1\n\",\"two\n\nlines\"\n\n";
    let rows = "2,x\n".repeat(40_000);
    let options = Options { kinds: HashMap::from([("a".into(), Kind::Float64)]), ..Options::default() };
    let cases = [
        ("x7,y\n", Some(1), "a: 'x7' is not a number"),
        ("3,y,z\n", None, "more than 2 cells"),
        ("3\n", None, "1 cells, expected 2"),
        ("3,y\"y\n", Some(2), "b: a cell that does not begin with \" holds one"),
        ("3,\"y\"y\n", Some(2), "b: text follows the closing quote"),
        ("3,\"y\n\n", Some(2), "b: the quote that opens here is never closed"),
    ];
    for (line, column, message) in cases {
        for rows in ["", &rows] {
            let text = format!("{above}{rows}{line}4,z\n");
            let fault = fault(&text, &options);
            let at = 9 + rows.len() as u64 / 4;
            assert_eq!((fault.code, fault.place), (Code::Data, Some(Place { line: at, column })), "{line:?}: {fault}");
            assert!(fault.message.starts_with(message), "{line:?}: {}", fault.message);
        }
    }
    let bytes = [b"a\nx\n".as_slice(), &[0xff], b"\n"].concat();
    let fault = read(bytes.as_slice(), None, &Options::default()).unwrap_err();
    assert_eq!(fault.place, Some(Place { line: 3, column: Some(1) }));
    assert_eq!(read(&b""[..], None, &Options::default()).unwrap_err().code, Code::Data);
    assert_eq!(read(&b"\xff\xfea\0"[..], None, &Options::default()).unwrap_err().message, "this is UTF-16; save it as UTF-8");
}

#[test]
fn a_large_table_is_the_same_as_its_rows_one_by_one() {
    let mut text = String::from("k,half,word\n");
    let count = 300_000;
    for k in 0..count {
        let word = if k % 7 == 0 { format!("\"w\n{k}\"") } else { format!("w{k}") };
        writeln!(text, "{k},{},{word}", f64::from(k) / 2.0).unwrap();
    }
    let table = read(text.as_bytes(), Some(text.len() as u64), &Options::default()).unwrap();
    assert_eq!(table.rows, count as usize);
    assert!(numbers(&table, "k").iter().zip(0..).all(|(value, k)| *value == f64::from(k)));
    assert!(numbers(&table, "half").iter().zip(0..).all(|(value, k)| *value == f64::from(k) / 2.0));
    let words = words(&table, "word");
    assert!((0..count).all(|k| words[k as usize] == if k % 7 == 0 { format!("w\n{k}") } else { format!("w{k}") }));
}

#[test]
fn blank_lines_leave_no_gap_where_pieces_meet() {
    let count = 200_000;
    let mut text = String::from("k,word,single\r\n");
    for k in 0..count {
        write!(text, "{k},w{k},-{}.25\r\n{}", k % 1000, if k % 3 == 0 { "\r\n\n" } else { "" }).unwrap();
    }
    let options = Options { kinds: HashMap::from([("single".into(), Kind::Float32)]), ..Options::default() };
    for size in [None, Some(text.len() as u64), Some(7)] {
        let table = read(text.as_bytes(), size, &options).unwrap();
        assert_eq!(table.rows, count);
        assert!(numbers(&table, "k").iter().zip(0..).all(|(value, k)| *value == f64::from(k)));
        assert!(words(&table, "word").iter().zip(0..).all(|(word, k)| *word == format!("w{k}")));
        let Values::Float32(single) = &table.columns[2].values else { panic!("{:?}", table.columns[2].kind) };
        assert!(single.iter().zip(0..).all(|(value, k)| *value == -((k % 1000) as f32 + 0.25)));
    }
}
