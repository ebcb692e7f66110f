//! The parse trees that `debug_print_parse` writes into the server's log, and the calls in them.

use std::collections::BTreeSet;

/// A function or an operator with the types that it is given, before what is converted silently.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Call {
    /// `pg_proc` or `pg_operator`.
    pub(super) catalogue: &'static str,
    pub(super) oid: u32,
    pub(super) types: Vec<u32>,
}

#[derive(Debug)]
enum Value {
    Node(Node),
    List(Vec<Self>),
    Word(String),
}

#[derive(Debug)]
struct Node {
    fields: Vec<(String, Vec<Value>)>,
}

/// The fields that give the type of a node, by the kind of node.
const TYPES: [&str; 19] = [
    "vartype",
    "consttype",
    "paramtype",
    "funcresulttype",
    "opresulttype",
    "casetype",
    "coalescetype",
    "minmaxtype",
    "array_typeid",
    "aggtype",
    "wintype",
    "refrestype",
    "refelemtype",
    "row_typeid",
    "resulttype",
    "typeId",
    "type",
    "jsontype",
    "xmltype",
];

/// Every call in every tree of a log.
pub(super) fn calls(log: &str) -> BTreeSet<Call> {
    let mut calls = BTreeSet::new();
    // The server breaks long lines at spaces.
    for line in log.replace("\n\t", " ").lines() {
        let Some((_, tree)) = line.split_once("{QUERY ") else { continue };
        let text = format!("{{QUERY {tree}");
        let mut rest = words(&text).into_iter().peekable();
        if let Some(value) = value(&mut rest) {
            gather(&value, &mut calls);
        }
    }
    calls
}

/// Braces and parentheses by themselves; a backslash quotes what follows.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => word.extend([character].into_iter().chain(characters.next())),
            '{' | '}' | '(' | ')' | ' ' => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                if character != ' ' {
                    words.push(character.to_string());
                }
            }
            other => word.push(other),
        }
    }
    words
}

type Words = std::iter::Peekable<std::vec::IntoIter<String>>;

fn value(rest: &mut Words) -> Option<Value> {
    let word = rest.next()?;
    Some(match word.as_str() {
        "{" => {
            rest.next()?;
            Value::Node(Node { fields: fields(rest)? })
        }
        "(" => {
            let mut list = Vec::new();
            while rest.next_if(|word| word == ")").is_none() {
                list.push(value(rest)?);
            }
            Value::List(list)
        }
        _ => Value::Word(word),
    })
}

fn fields(rest: &mut Words) -> Option<Vec<(String, Vec<Value>)>> {
    let mut fields: Vec<(String, Vec<Value>)> = Vec::new();
    while rest.next_if(|word| word == "}").is_none() {
        let name = rest.peek()?.strip_prefix(':').map(str::to_owned);
        if let Some(name) = name {
            rest.next();
            fields.push((name, Vec::new()));
        } else {
            let value = value(rest)?;
            fields.last_mut()?.1.push(value);
        }
    }
    Some(fields)
}

impl Node {
    fn field(&self, name: &str) -> Option<&[Value]> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, values)| &values[..])
    }

    fn number(&self, name: &str) -> Option<u32> {
        match self.field(name)?.first()? {
            Value::Word(word) => word.parse().ok(),
            _ => None,
        }
    }

    fn list(&self, name: &str) -> Vec<&Self> {
        let values = self.field(name).and_then(|values| values.first());
        let Some(Value::List(list)) = values else { return Vec::new() };
        list.iter()
            .filter_map(|value| if let Value::Node(node) = value { Some(node) } else { None })
            .collect()
    }

    fn node(&self, name: &str) -> Option<&Self> {
        match self.field(name)?.first()? {
            Value::Node(node) => Some(node),
            _ => None,
        }
    }

    /// The silent conversion: a cast that nobody wrote.
    fn before_conversion(&self) -> &Self {
        let silent = |format: &str| self.number(format) == Some(2);
        let inner = if silent("funcformat") {
            self.list("args").first().copied()
        } else if silent("relabelformat") || silent("coerceformat") {
            self.node("arg")
        } else {
            self.node("expr").filter(|_| self.field("resno").is_some())
        };
        inner.map_or(self, Self::before_conversion)
    }

    fn result_type(&self) -> Option<u32> {
        TYPES.iter().find_map(|name| self.number(name)).filter(|oid| *oid > 0).or_else(|| {
            let boolean = ["boolop", "nulltesttype", "useOr"];
            boolean.iter().any(|name| self.field(name).is_some()).then_some(16)
        })
    }

    fn call(&self) -> Option<Call> {
        let catalogues = [
            ("funcid", "pg_proc"),
            ("aggfnoid", "pg_proc"),
            ("winfnoid", "pg_proc"),
            ("opno", "pg_operator"),
        ];
        let (oid, catalogue) = catalogues
            .iter()
            .find_map(|(field, catalogue)| Some((self.number(field)?, *catalogue)))?;
        let arguments = self.list("args").into_iter().map(Self::before_conversion);
        let types = arguments.map(|argument| argument.result_type().unwrap_or(0)).collect();
        Some(Call { catalogue, oid, types })
    }
}

fn gather(value: &Value, calls: &mut BTreeSet<Call>) {
    match value {
        Value::Word(_) => {}
        Value::List(list) => list.iter().for_each(|value| gather(value, calls)),
        Value::Node(node) => {
            calls.extend(node.call());
            node.fields
                .iter()
                .flat_map(|(_, values)| values)
                .for_each(|value| gather(value, calls));
        }
    }
}

#[test]
fn a_call_is_found_with_the_types_before_what_is_converted() {
    let log = "DETAIL:  {QUERY :targetList ({TARGETENTRY :expr {FUNCEXPR :funcid 871 \
        :funcresulttype 25 :funcformat 0 :args ({RELABELTYPE :arg {VAR :varno 1 :vartype 19} \
        :resulttype 25 :relabelformat 2}) :location 7} :resno 1 :resname a\\ \\{b})}";
    let expected = Call { catalogue: "pg_proc", oid: 871, types: vec![19] };
    assert_eq!(calls(log), BTreeSet::from([expected]));
}
