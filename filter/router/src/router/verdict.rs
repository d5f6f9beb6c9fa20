//! What is known of an entry's questions, and what it comes to.

use std::rc::Rc;

use crate::classify::{Answer, Cell};
use crate::config::{RegistryDesign, Target};
use crate::decision::Source;

/// What is known of one question.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is to be asked; again, but not before so many milliseconds, where that failed.
    Asked {
        question: String,
        wait_ms: u64,
    },
    Known(Answer, Source),
    Unavailable,
}

impl Verdict {
    pub(super) fn is_asked(&self) -> bool {
        matches!(self, Self::Asked { .. })
    }
}

/// What all verdicts on an entry's questions come to.
pub(super) enum Outcome {
    Cell { address: String, matched_claim: Option<String>, source: Source },
    SeveralCells,
    Unavailable,
    NotFound,
}

/// One unavailable answer spoils the rest: it could have named another Cell.
pub(super) fn weigh(verdicts: &[Verdict], target: Target, design: RegistryDesign) -> Outcome {
    let mut chosen: Option<(&str, &Rc<Cell>, Source)> = None;
    let mut unavailable = false;
    for verdict in verdicts {
        let Verdict::Known(answer, source) = verdict else {
            unavailable = true;
            continue;
        };
        let Answer::Found(cell) = answer else { continue };
        let address = cell.address(target, design);
        chosen = match (chosen, address) {
            (chosen, None) => chosen,
            (None, Some(address)) => Some((address, cell, *source)),
            (Some((known, cell, so_far)), Some(address)) if known == address => {
                Some((known, cell, so_far.max(*source)))
            }
            (Some(_), Some(_)) => return Outcome::SeveralCells,
        };
    }
    match chosen {
        _ if unavailable => Outcome::Unavailable,
        None => Outcome::NotFound,
        Some((address, cell, source)) => Outcome::Cell {
            address: address.to_owned(),
            matched_claim: cell.matched_claim.clone(),
            source,
        },
    }
}
