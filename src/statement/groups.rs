//! The lists of conditions in a statement: where each condition begins, and whether all or one of
//! a list must be met.

use sqlparser::tokenizer::Token;

use super::operands::Words;

/// The words that end a list of conditions.
const ENDS: [&str; 9] =
    ["FROM", "GROUP", "ORDER", "HAVING", "LIMIT", "RETURNING", "UNION", "WINDOW", "SELECT"];

/// The places at which a condition may begin, and how those are connected.
#[derive(Default)]
pub(super) struct Groups {
    /// Each place, with its list.
    pub(super) beginnings: Vec<(usize, usize)>,
    /// Of each list: true when its conditions are alternatives.
    pub(super) by_or: Vec<bool>,
    /// True when an alternative is itself a list of conditions.
    pub(super) mixed: bool,
}

/// A list of conditions: behind a WHERE, or within parentheses.
#[derive(Clone, Copy, Default)]
struct List {
    and: bool,
    or: bool,
    /// The list that it is an element of.
    within: Option<usize>,
}

/// A pair of parentheses, or the whole, while it is open.
#[derive(Clone, Copy, Default)]
struct Frame {
    /// Its list, where conditions are listed.
    list: Option<usize>,
    /// Open CASE expressions.
    cases: usize,
    /// True between BETWEEN and its AND.
    between: bool,
}

impl Groups {
    pub(super) fn new(words: &Words<'_>) -> Self {
        let (mut lists, mut beginnings): (Vec<List>, Vec<(usize, usize)>) = Default::default();
        let (mut outer, mut frame, mut begins) = (Vec::new(), Frame::default(), false);
        for at in 0..words.len() {
            let listed = frame.list.filter(|_| frame.cases == 0);
            if let (true, Some(list)) = (begins, listed) {
                beginnings.push((at, list));
            }
            let at_beginning = std::mem::take(&mut begins) && listed.is_some();
            if words.opens(at) {
                outer.push(frame);
                lists.extend(at_beginning.then_some(List { within: listed, ..List::default() }));
                let list = at_beginning.then(|| lists.len() - 1);
                frame = Frame { list, ..Frame::default() };
                begins = at_beginning;
            } else if words.get(at) == Some(&Token::RParen) {
                frame = outer.pop().unwrap_or_default();
            } else if starts_list(words, at) {
                lists.push(List::default());
                frame = Frame { list: Some(lists.len() - 1), ..frame };
                begins = true;
            } else if words.is(at, &ENDS) {
                frame.list = None;
            } else if words.is(at, &["CASE"]) {
                frame.cases += 1;
            } else if words.is(at, &["END"]) {
                frame.cases = frame.cases.saturating_sub(1);
            } else if words.is(at, &["BETWEEN"]) {
                frame.between = true;
            } else if words.is(at, &["AND"]) && std::mem::take(&mut frame.between) {
            } else if let (true, Some(list)) = (words.is(at, &["AND", "OR"]), listed) {
                let is_or = words.is(at, &["OR"]);
                lists[list].or |= is_or;
                lists[list].and |= !is_or;
                begins = true;
            }
        }
        Self::connected(&lists, beginnings)
    }

    /// Leaves out the lists that mix both ways, or have conditions of which not all must be met.
    fn connected(lists: &[List], mut beginnings: Vec<(usize, usize)>) -> Self {
        // A list stands behind the one that it is within.
        let mut connected: Vec<Option<bool>> = Vec::with_capacity(lists.len());
        for list in lists {
            let outer = list.within.map_or(Some(false), |within| connected[within]);
            connected.push(match (outer, list.or, list.and) {
                (None, ..) | (_, true, true) | (Some(true), _, true) => None,
                (Some(outer), or, _) => Some(outer || or),
            });
        }
        let within =
            |list: &List| list.within.is_some_and(|within| connected[within] != Some(false));
        let mixed = lists.iter().zip(&connected).any(|(list, by)| by.is_none() && within(list));
        beginnings.retain(|(_, list)| connected[*list].is_some());
        let by_or = connected.iter().map(|by_or| by_or.unwrap_or_default()).collect();
        Self { beginnings, by_or, mixed }
    }
}

/// Returns whether a list of conditions begins behind this word.
fn starts_list(words: &Words<'_>, at: usize) -> bool {
    let behind = |places: usize, list: &[&str]| at >= places && words.is(at - places, list);
    let filters = at > 0 && words.opens(at - 1) && behind(2, &["FILTER"]);
    (words.is(at, &["WHERE"]) && !filters) || (words.is(at, &["ON"]) && !behind(1, &["DISTINCT"]))
}
