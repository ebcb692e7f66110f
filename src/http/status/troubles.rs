//! The headline, and a card for each trouble. Both are made of the same troubles.

use maud::{Markup, html};

use super::figures::{Name, Seconds, Text, Word, colour, count, sign};
use super::pools;
use crate::advice::Severity;
use crate::http::health::{Detailed, Trouble};

/// The health of the whole, and the reason, in one look.
pub(super) fn banner(known: &Detailed<'_>) -> Markup {
    let (headline, service) = (&known.headline, &known.service);
    html! {
        section class={ "card banner " (colour(headline.status)) } {
            h2 { (sign(headline.status)) " " (headline.status) }
            p {
                @if headline.status == "healthy" { (Name(&headline.message)) }
                @else { a href="#trouble-0" { (Name(&headline.message)) } }
                @if known.pools.is_empty() { "; no pool is known yet" }
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
            p.said {
                (Name(&trouble.message))
                @if let Some(age) = trouble.age_seconds.filter(|_| trouble.lasts()) {
                    span.note { " · since " (Seconds(age)) }
                }
            }
            @if !trouble.lasts() { p.note { (Name(&trouble.past())) "; the figures are of then" } }
            (earlier(trouble))
            @for detail in &trouble.details { p.note { (Name(detail)) } }
            @if !trouble.remedy.is_empty() && trouble.lasts() {
                p { strong { "To do:" } " " (Name(&trouble.remedy)) }
            }
            @if !trouble.consequences.is_empty() {
                p.note { @if trouble.lasts() { "What follows from it:" } @else { "What followed from it:" } }
                ul.consequences { @for one in &trouble.consequences { (consequence(one)) } }
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
                (Name(was.message))
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
            (Name(&trouble.subject)) ": "
            (Name(&trouble.message)) " " span.note { (Text(trouble.rule)) }
            (earlier(trouble))
        }
    }
}
