use proptest::prelude::*;

use super::*;

fn split<'a>(prefix: &str, line: &'a str) -> Option<(Fields<'a>, &'a str)> {
    Prefix::new(prefix).split(line).map(|(fields, _, message)| (fields, message))
}

fn names<'a>(fields: &Fields<'a>) -> [Option<&'a str>; 3] {
    [fields.user, fields.database, fields.application]
}

#[test]
fn a_usual_prefix_needs_no_setting() {
    for line in [
        "2026-01-31 23:59:59.123 UTC [812] app@my db LOG:  duration: 1 ms",
        "2026-01-31 23:59:59 CET [812-3] app@my db LOG:  duration: 1 ms",
        "2026-01-31 23:59:59 GMT+3 [812]: [3-1] user=app,db=my db,app=x,client=[local] LOG:  duration: 1 ms",
        "2026-01-31 23:59:59 -03 [812]: user=app,db=my db,app=,client=10.0.0.1 LOG:  duration: 1 ms",
        "2026-01-31 23:59:59 UTC:10.0.0.1(4711):app@my db:[812]:LOG:  duration: 1 ms",
    ] {
        let (fields, severity, message) = Prefixes::default().split(line).expect(line);
        assert_eq!((fields.user, fields.database), (Some("app"), Some("my db")), "{line}");
        assert_eq!((fields.pid, severity), (Some(812), MessageSeverity::Log), "{line}");
        assert_eq!(message, "duration: 1 ms");
    }
    let line = "2026-01-31 23:59:59.123 UTC [812] ERROR:  x@y LOG:  z";
    let (fields, severity, message) = Prefixes::default().split(line).unwrap();
    assert_eq!((fields.user, severity, message), (None, MessageSeverity::Error, "x@y LOG:  z"));
}

#[test]
fn a_prefix_of_ones_own_is_understood() {
    let (fields, message) = split(
        "%t|%-8u|%d|%a|%5p|%e|%i|%%",
        "2026-01-31 23:59:59 UTC|app     |d|a|b|  812|40P01|idle in transaction|%LOG:  x",
    )
    .unwrap();
    assert_eq!(names(&fields), [Some("app"), Some("d"), Some("a|b")]);
    assert_eq!((fields.pid, fields.sqlstate), (Some(812), Some("40P01")));
    assert_eq!((fields.tag, message), (Some("idle in transaction"), "x"));
    let (fields, _) = split("%-6p x=%c ", "812    x=65ba.32c LOG:  x").unwrap();
    assert_eq!(fields.pid, Some(812));
    assert_eq!(split("", "LOG:  x").unwrap().1, "x");
    let before = "2026-01-31 23:59:59.123 UTC [812] [unknown]@[unknown] FATAL:  x";
    assert_eq!(names(&split("%m [%p] %q%u@%d ", before).unwrap().0), [None; 3]);
    assert_eq!(split("%m [%p] %q%u@%d ", "2026-01-31 23:59:59.123 UTC [812] app@d "), None);
}

#[test]
fn names_that_nothing_separates_are_not_guessed() {
    for prefix in ["%a%d%u%p ", "%u%q%d ", "%u%d"] {
        let told = Prefix::new(prefix).tells();
        assert!(!told.user && !told.database && !told.application, "{prefix}");
    }
    let line = "2026-01-31 23:59:59 UTC app10.0.0.1@shop x LOG:  y";
    assert_eq!(names(&split("%t %u%h@%d %a ", line).unwrap().0), [None, Some("shop"), Some("x")]);
    let line = "app       shop@812 LOG:  y";
    assert_eq!(names(&split("%-10u%d@%p ", line).unwrap().0), [Some("app"), Some("shop"), None]);
}

#[test]
fn a_prefix_that_fits_is_tried_first_from_then_on() {
    let mut prefixes = Prefixes::default();
    prefixes.split("2026-01-31 23:59:59 UTC:h(1):app@d:[812]:LOG:  x").unwrap();
    assert_eq!(prefixes.0[0], Prefix::new(USUAL[5]));
    prefixes.expect("%u ");
    assert_eq!(prefixes.0[0], Prefix::new("%u "));
    assert!(Prefix::new("%u@%d").tells().database && !Prefix::new("%%d").tells().database);
}

proptest! {
    #[test]
    fn no_line_takes_long(
        prefix in "([%][aduhrbpqmteilc0-9%-]|[ @|:é]){0,12}",
        line in "[ @|:é0-9a-zLOG]{0,300}",
    ) {
        let mut guesses = GUESSES;
        parts(&Prefix::new(&prefix).parts, &line, Fields::default(), &mut guesses);
        Prefixes::default().split(&line);
    }
}
