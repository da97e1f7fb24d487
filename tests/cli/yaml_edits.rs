//! Edits of a configuration's text by the library: what is replaced, what stays, and what is refused.

use laser_scan::config::{EditError, Edited, edit};
use laser_scan::trainers::yaml::Value;

fn list(items: &[&str]) -> Value {
    Value::List(items.iter().map(|item| (*item).to_owned()).collect())
}

fn edited(text: &str, entries: &[(&str, Value)]) -> String {
    edit(text, entries).unwrap_or_else(|error| panic!("{error}: {text:?}")).text
}

#[test]
fn scalars_are_replaced_in_place() {
    let cases = [
        ("lora_r: 32   # note\nb: 1", "lora_r: 64   # note\nb: 1"),
        ("lora_r: 32\t# é\r\nb: 1\r\n", "lora_r: 64\t# é\r\nb: 1\r\n"),
        ("\u{feff}lora_r:  '32'", "\u{feff}lora_r:  64"),
        ("\"lora_r\": 64 # same\n", "\"lora_r\": 64 # same\n"),
        ("lora_r:   # note\nb: 1\n", "lora_r: 64   # note\nb: 1\n"),
        ("lora_r: ~\n", "lora_r: 64\n"),
        ("lora_r:", "lora_r: 64"),
        ("lora_r: # a\n  32 # b\n", "lora_r: # a\n  64 # b\n"),
        ("lora_r: >- # h\n  32\n\n# c\nb: 1\n", "lora_r: 64 # h\n\n# c\nb: 1\n"),
        ("lora_r: 1\n  2\nb: |\n  lora_r: 3\n", "lora_r: 64\nb: |\n  lora_r: 3\n"),
        ("lora_r: [1, # a\n  2] # b\nb: 1\n", "lora_r: 64 # a\n  # b\nb: 1\n"),
        ("a:\n  lora_r: 1\n? lora_r\n: 2 # c\n", "a:\n  lora_r: 1\n? lora_r\n: 64 # c\n"),
        ("  a: 1\n  lora_r: 2\n", "  a: 1\n  lora_r: 64\n"),
    ];
    for (text, expected) in cases {
        assert_eq!(edited(text, &[("lora_r", Value::Number(64))]), expected);
    }
}

#[test]
fn quotes_are_kept() {
    for (old, new) in [("'a'", "'no'"), ("\"a\"", "\"no\""), ("a", "'no'"), ("|-\n  a", "'no'"), ("\"no\"", "\"no\"")] {
        let wanted = [("adapter", Value::Text("no".to_owned()))];
        assert_eq!(edited(&format!("adapter: {old}\nb: 1\n"), &wanted), format!("adapter: {new}\nb: 1\n"));
    }
}

#[test]
fn what_is_equal_is_left() {
    let text = "a: yes # c\nb: 0.050\nc: 'x'\nd: [p, \"q\"]\ne: {p: 8}\nf: &f 0\ng:\n- p # c\n";
    let map = Value::Map(vec![("p".to_owned(), 8)]);
    let (flag, decimal, string) = (Value::Flag(true), Value::Decimal(0.05), Value::Text("x".to_owned()));
    let wanted = [("a", flag), ("b", decimal), ("c", string), ("d", list(&["p", "q"])), ("e", map)];
    let more = [("f", Value::Decimal(0.0)), ("g", list(&["p"]))];
    let wanted: Vec<_> = wanted.into_iter().chain(more).collect();
    assert_eq!(edit(text, &wanted), Ok(Edited { text: text.to_owned(), changed: Vec::new() }));
}

#[test]
fn lists_replace_values() {
    let cases = [
        // Items that stay keep their text, and new ones follow the style of the list.
        ("m:\n- 'a'  # ca\n- b\n# z\nn: 1\n", "m:\n- c\n- 'a'  # ca\n# z\nn: 1\n"),
        ("m:   # k\r\n    -   a\r\n    -   b", "m:   # k\r\n    -   c\r\n    -   a"),
        ("m: [b, \"a\"] # k\nn: 1\n", "m: # k\n  - c\n  - \"a\"\nn: 1\n"),
        ("m: [ # k\n  # la\n  a, # ca\n  b # cb\n  # t\n]  # e\n", "m: # k\n  - c\n  # la\n  - a # ca\n  # t\n  # e\n"),
        ("m: [b,\n  a] # k\n", "m:\n  - c\n  - a\n  # k\n"),
        ("m: all  # k\nd:\n    - x\n", "m:  # k\n    - c\n    - a\nd:\n    - x\n"),
        ("m: # k\nd:\n- x\n", "m: # k\n- c\n- a\nd:\n- x\n"),
        ("m: ~   # k\n", "m:   # k\n  - c\n  - a\n"),
        ("m:", "m:\n  - c\n  - a"),
        ("m: >-\n  a,\n  b\n\nn: 1\n", "m:\n  - c\n  - a\n\nn: 1\n"),
        ("m:\n  x: 1\n  # l\n  y: 2\n", "m:\n  - c\n  # l\n  - a\n"),
        // Comments.
        ("m:\n  # la\n  - a\n  # lb\n  - b\n", "m:\n  - c\n  # lb\n  # la\n  - a\n"),
        ("m:\n  # lb\n  - b\n\n  - a\n  # t\n\n# n\nn: 1\n", "m:\n  - c\n\n  - a\n  # lb\n  # t\n\n# n\nn: 1\n"),
        ("m:\n  - a\n  -\n  - b: 1\n    # i\n    d: 2\n  # t\n # n\n", "m:\n  - c\n    # i\n  - a\n  # t\n # n\n"),
    ];
    for (text, expected) in cases {
        assert_eq!(edited(text, &[("m", list(&["c", "a"]))]), expected);
    }
    assert_eq!(edited("m:\n  # l\n  - a\nn: 1\n", &[("m", list(&[]))]), "m: []\n  # l\nn: 1\n");
}

#[test]
fn maps_replace_values() {
    let map = Value::Map(vec![("a".to_owned(), 8), ("b".to_owned(), 4)]);
    for (text, expected) in [
        ("m: {}  # k\n", "m:  # k\n  a: 8\n  b: 4\n"),
        ("m:\n    'b': 4 # cb\n    c: 1\n", "m:\n    a: 8\n    'b': 4 # cb\n"),
        ("m: {'b': 4, c: 1}\n", "m:\n  a: 8\n  b: 4\n"),
    ] {
        assert_eq!(edited(text, &[("m", map.clone())]), expected);
    }
}

#[test]
fn absent_keys_are_inserted_next_to_others() {
    let wanted = [("r", Value::Number(1)), ("m", list(&["a"])), ("z", Value::Flag(true))];
    let cases = [
        ("", "r: 1\nm:\n  - a\nz: true\n"),
        ("\u{feff}", "\u{feff}r: 1\nm:\n  - a\nz: true\n"),
        ("# only", "# only\nr: 1\nm:\n  - a\nz: true\n"),
        ("---\n...\n", "---\nr: 1\nm:\n  - a\nz: true\n...\n"),
        ("a: |\n  x\n...", "a: |\n  x\nr: 1\nm:\n  - a\nz: true\n..."),
        ("a: |+\n  x\n\n", "a: |+\n  x\n\nr: 1\nm:\n  - a\nz: true\n"),
        ("a: 1\r\nb: 2", "a: 1\r\nb: 2\r\nr: 1\r\nm:\r\n  - a\r\nz: true\r\n"),
        ("# c\nz: true\nb: 1\n", "# c\nr: 1\nm:\n  - a\nz: true\nb: 1\n"),
        ("\u{feff}z: true", "\u{feff}r: 1\nm:\n  - a\nz: true"),
        ("r: 1 # c\n\nb: 1\n", "r: 1 # c\nm:\n  - a\nz: true\n\nb: 1\n"),
        ("m:\n  - a\n  # t\n # n\nb: 1\n", "r: 1\nm:\n  - a\n  # t\nz: true\n # n\nb: 1\n"),
        ("  b:\n  - x\n  z: true", "  b:\n  - x\n  r: 1\n  m:\n  - a\n  z: true"),
    ];
    for (text, expected) in cases {
        assert_eq!(edited(text, &wanted), expected);
    }
}

#[test]
fn changes_are_told() {
    let text = "a: 'x' # c\nb:\nc:\n  - p # d\n  - q\n";
    let wanted = [("a", Value::Number(1)), ("b", Value::Flag(true)), ("c", list(&["p"])), ("d", list(&[]))];
    let changed = edit(text, &wanted).expect("an ordinary file").changed;
    let changed: Vec<_> = changed.iter().map(|c| (c.key.as_str(), c.before.as_deref(), c.after.as_str())).collect();
    let lists = ("c", Some("- p # d\n  - q"), "- p");
    assert_eq!(changed, [("a", Some("'x'"), "1"), ("b", Some(""), "true"), lists, ("d", None, "[]")]);
}

#[test]
fn what_cannot_be_edited_is_refused() {
    let marked = || EditError::Marked("r".to_owned());
    let cases = [
        ("a: 1\nb", EditError::NotYaml { line: 2, column: 1, reason: "simple key expected ':'".to_owned() }),
        ("---\nr: 1\n---\nr: 2\n", EditError::SeveralDocuments),
        ("{\"r\": 1}", EditError::NotMapping),
        ("- r: 1\n", EditError::NotMapping),
        ("r\n", EditError::NotMapping),
        ("r: 1\n'r': 2\n", EditError::Repeated("r".to_owned())),
        ("r: &x 1\nb: *x\n", marked()),
        ("b: &x 1\nr: *x\n", marked()),
        ("r: !!str 1\n", marked()),
        ("r:\n  - &x a\nb: *x\n", marked()),
        ("b: &x r\n*x : 1\n", EditError::Unsafe),
        ("!other r: 1\n", EditError::Unsafe),
        ("b: 1\n \t", EditError::Unsafe),
        ("a: 1\rr: 1\r", EditError::Unsafe),
        ("a: |\n  no line end", EditError::Unsafe),
        // A tag or an anchor at the root belongs to the whole document.
        ("!!str\nr: 1\n", EditError::Unsafe),
        ("--- !!map\nr: 1\n", EditError::Unsafe),
        ("&x\nr: 1\nb: *x\n", EditError::Unsafe),
        ("--- &x\n", EditError::Unsafe),
        // PyYAML ends a line, and with it a comment, where YAML 1.2 does not.
        ("b: 1 # c\u{2028}r: 1\n", EditError::Unsafe),
        ("b: 'x\u{2029}y'\n", EditError::Unsafe),
        ("b: 1 # \u{85}r: 1\n", EditError::Unsafe),
        ("r: 1\r", EditError::Unsafe),
        // Text to PyYAML, nothing to others.
        ("\u{feff}\u{feff}", EditError::Unsafe),
        ("b: 1\n# \u{feff}\n", EditError::Unsafe),
        // A blank line of the scalar, at which PyYAML stops without it.
        ("r: |\n \t\n", EditError::Unsafe),
    ];
    for (text, expected) in cases {
        assert_eq!(edit(text, &[("r", Value::Number(64))]), Err(expected), "{text:?}");
    }
}

#[test]
fn comments_within_a_piece_go_before_it() {
    let cases = [
        ("m: {b2 1\n # k\n  }\n", "m:\n  # k\n  - a\n"),
        ("m: [[x, # k\n  y], a] # t\n", "m: # k\n  - a\n  # t\n"),
        ("m: {x: # k\n  1}\n", "m: # k\n  - a\n"),
    ];
    for (text, expected) in cases {
        assert_eq!(edited(text, &[("m", list(&["a"]))]), expected);
    }
}

/// No text makes the program panic: each is cut off, or gets one more character, at every place.
#[test]
fn every_text_is_edited_or_refused() {
    let wanted = [("r", Value::Number(64)), ("m", list(&["a", "no"]))];
    let seeds = ["m: {b: 1, # k\n  é}\nr: |2-\n   x\n", "? r\n: &x [a, 'b\n c']\nm:\n- *x # é\n"];
    for text in ODD.iter().chain(&seeds) {
        let text = format!("{text}m: [é, # k\n  b]\nr: x");
        for (at, _) in text.char_indices() {
            let (before, after) = text.split_at(at);
            let marks = ["\t", "\n", "#", ":", "[", "}", "\"", "☃"];
            for text in marks.iter().map(|mark| format!("{before}{mark}{after}")).chain([before.to_owned()]) {
                if let Ok(Edited { text, .. }) = edit(&text, &wanted) {
                    assert_eq!(edit(&text, &wanted).map(|edited| edited.changed), Ok(Vec::new()), "{text:?}");
                }
            }
        }
    }
    for deep in [
        format!("a: {}", "[".repeat(100_000)),
        format!("a: {}{}\n", "[".repeat(100_000), "]".repeat(100_000)),
        format!("a:\n{}x\n", "- ".repeat(100_000)),
        format!("a:\n{}x\n", "? ".repeat(100_000)),
    ] {
        assert!(edit(&deep, &wanted).is_err());
    }
}

/// Texts beside the edited keys that an edit must leave alone.
const ODD: [&str; 14] = [
    "",
    "# r: 1\n\n",
    "a:\n  r: 3\n  m: [x]\n",
    "a: |\n  r: 1\n  # no comment\n\n\n",
    "a: >2+\n    r: 1\n\n",
    "a: &x\n  r: 1\nb:\n  <<: *x\nc: *x\n",
    "a: b\n  r\n\n  m\n",
    "a: 'b\n\n  r: 5'\nb: \"c \\\n   m: 5 # x\"\t# y\n",
    "a: {b: 1,\n  r: 9, # k\n  }\n",
    "? [a, r]\n: m\n? |\n  r\n: 1\n",
    "ünï: 'é☃' # 😀 r: 1\n",
    "a:\nb: ~\nc: !!str 5\n",
    "a:\n- - b\n  - r\n-\n- |\n  m\n\n- c: d\n  # e\n",
    "a: |\nb: >-\n\n",
];

#[test]
fn odd_surroundings_are_left_alone() {
    let wanted = [("r", Value::Number(64)), ("m", list(&["a", "no"]))];
    let (rs, ms) = (["r: 1 # c\n", "'r': |\n  1\n", "r:\n"], ["m: [a]\n", "m:\n  # c\n  - b\n", "m: a\n  b\n", ""]);
    for (odd, r, m, line_end) in ODD.iter().flat_map(|odd| {
        let pairs = rs.iter().flat_map(|r| ms.iter().map(move |m| (*r, *m)));
        pairs.flat_map(move |(r, m)| ["\n", "\r\n"].map(|line_end| (*odd, r, m, line_end)))
    }) {
        let rest = odd.replace("a:", "a2:").replace("b:", "b2:").replace("&x", "&y").replace("*x", "*y");
        let [odd, rest, text] = [odd, &rest, &format!("{odd}{r}{m}{rest}")].map(|text| text.replace('\n', line_end));
        let new = edited(&text, &wanted);
        assert!(new.starts_with(&odd) && new.ends_with(&rest), "{text:?} -> {new:?}");
        assert_eq!(edit(&new, &wanted), Ok(Edited { text: new.clone(), changed: Vec::new() }));
    }
}
