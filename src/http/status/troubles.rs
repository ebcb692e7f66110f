//! The headline, and a card for each trouble. Both are made of the same troubles.

use maud::{Markup, html};

use super::figures::{Name, Seconds, Sentence, Text, Word, colour, count, encoded, sign};
use super::pools;
use crate::advice::Severity;
use crate::http::health::{Detailed, Trouble, beginning};

/// The longest message of a consequence that lasts and is shown whole, in bytes: it may name who
/// holds the connections.
const UNFOLDED: usize = 300;

/// The health of the whole, and the reason, in one look.
pub(super) fn banner(known: &Detailed<'_>) -> Markup {
    let (headline, service) = (&known.headline, &known.service);
    html! {
        section class={ "card banner " (colour(headline.status)) } {
            h2 { (sign(headline.status)) " " (headline.status) }
            p {
                @if headline.status != "healthy" {
                    a href="#trouble-0" { (Sentence(&headline.message)) }
                } @else if known.pools.is_empty() && known.databases.is_empty() {
                    "nothing is watched yet: below is how to begin"
                } @else {
                    (Sentence(&headline.message))
                }
            }
            p.note {
                @if let Some(pool) = known.worst_pool {
                    "worst pool: " a href={ "#" (pools::id(pool)) } { (Name(pool)) } " · "
                }
                @if let Some(age) = service.sample_age_seconds {
                    "sampled " (Seconds(age)) " ago · "
                }
                "running for " (Seconds(service.uptime_seconds))
            }
        }
    }
}

/// The cards. Hints are folded; so is, below them, what is over.
pub(super) fn cards(known: &Detailed<'_>) -> Markup {
    let serious = |trouble: &Trouble<'_>| trouble.lasts() && trouble.worst() > Severity::Info;
    let numbered = || known.troubles.iter().enumerate();
    let hints: Vec<_> = numbered().filter(|(_, one)| one.lasts() && !serious(one)).collect();
    html! {
        @for (place, trouble) in numbered().filter(|(_, one)| serious(one)) {
            (card(place, trouble, known))
        }
        @for (place, trouble) in numbered().filter(|(_, one)| !one.lasts()) {
            (card(place, trouble, known))
        }
        @if !hints.is_empty() {
            details.more.card #hints {
                summary #of-hints { (count(hints.len(), "hint")) " for quiet times" }
                @for (place, trouble) in hints { (card(place, trouble, known)) }
            }
        }
    }
}

fn card(place: usize, trouble: &Trouble<'_>, known: &Detailed<'_>) -> Markup {
    let severity = trouble.worst().as_str();
    let over = if trouble.lasts() { "" } else { " over" };
    html! {
        section class={ "card trouble " (colour(severity)) (over) } id={ "trouble-" (place) } {
            div.name {
                h3 { (subject(trouble, known)) }
                span {
                    span.note { (trouble.rule) }
                    " "
                    @match trouble.over_for_seconds {
                        None => (Word(severity)),
                        Some(over) => (Word(&format!("over for {}", Seconds(over)))),
                    }
                }
            }
            @if trouble.lasts() {
                p {
                    (Sentence(&trouble.message))
                    @if let Some(age) = trouble.age_seconds {
                        span.note { " · since " (Seconds(age)) }
                    }
                }
            } @else {
                div.message { (message(trouble)) }
                p.note { (Name(&trouble.past())) "; the figures are of then" }
            }
            (earlier(trouble))
            @for detail in &trouble.details { p.note { (Sentence(detail)) } }
            @if !trouble.remedy.is_empty() && trouble.lasts() {
                p { strong { "To do:" } " " (Sentence(&trouble.remedy)) }
            }
            (consequences(trouble))
        }
    }
}

/// A message of less weight: one that is long is folded to its beginning, sooner once it is over.
fn message(trouble: &Trouble<'_>) -> Markup {
    let (whole, brief) = (&*trouble.message, beginning(&trouble.message));
    if brief == whole || trouble.lasts() && whole.len() <= UNFOLDED {
        return html! { (Sentence(whole)) };
    }
    let id = format!("whole-{}", place_of(trouble));
    html! {
        details.whole id=(id) {
            summary id={ "of-" (id) } { (Sentence(&brief)) }
            p { (Sentence(whole)) }
        }
    }
}

/// The part of a place on the page that is of this trouble, whatever its rank is.
fn place_of(trouble: &Trouble<'_>) -> String {
    format!("{}-{}", trouble.rule, encoded(&trouble.subject))
}

/// What follows from it; folded once it is over.
fn consequences(trouble: &Trouble<'_>) -> Markup {
    let list = html! {
        ul.consequences { @for one in &trouble.consequences { (consequence(one)) } }
    };
    match trouble.consequences.len() {
        0 => Markup::default(),
        _ if trouble.lasts() => html! { p.note { "What follows from it:" } (list) },
        several => {
            let id = format!("followed-{}", place_of(trouble));
            html! {
                details.inner id=(id) {
                    summary id={ "of-" (id) } {
                        "What followed from it: " (count(several, "trouble"))
                    }
                    (list)
                }
            }
        }
    }
}

/// What it was until a moment ago, where that was worse.
fn earlier(trouble: &Trouble<'_>) -> Markup {
    html! {
        @if let Some(was) = &trouble.was {
            p.note {
                "was " (was.severity.as_str()) " until " (Seconds(was.seconds_ago)) " ago: "
                (Sentence(was.message))
            }
        }
    }
}

/// A pool's name leads to the pool.
fn subject(trouble: &Trouble<'_>, known: &Detailed<'_>) -> Markup {
    let subject = &*trouble.subject;
    html! {
        @if known.pools.iter().any(|pool| pool.pool == subject) {
            a href={ "#" (pools::id(subject)) } { (Name(subject)) }
        } @else { (Name(subject)) }
    }
}

fn consequence(trouble: &Trouble<'_>) -> Markup {
    html! {
        li {
            @if trouble.lasts() { (Word(trouble.severity.as_str())) " " }
            (Name(&trouble.subject)) " " span.note { (Text(trouble.rule)) } ": "
            (message(trouble))
            (earlier(trouble))
        }
    }
}
