//! Checks what a child says of a unit, body by body: it may speak of this unit only, and must bring it to its end.

use model::{Body, Id, ItemStatus, Stage, StagedItem, WorkUnit, wire};

/// A statement that no honest child makes; the word says which.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lie(pub &'static str);

/// The running account of one unit.
pub struct Account<'u> {
    exhibit: Id,
    members: Vec<Member<'u>>,
}

/// The primary item or a companion.
struct Member<'u> {
    staged: &'u StagedItem,
    /// Bodies that name it.
    bodies: u64,
    /// What its final item claims to have announced.
    announced: Option<u64>,
}

impl<'u> Account<'u> {
    /// Begins the account of a unit.
    pub fn new(unit: &'u WorkUnit) -> Account<'u> {
        let members = std::iter::once(&unit.primary).chain(&unit.companions);
        let members = members.map(|staged| Member { staged, bodies: 0, announced: None }).collect();
        Account { exhibit: unit.primary.item.exhibit, members }
    }

    fn member(&mut self, item: Id) -> Result<&mut Member<'u>, Lie> {
        self.members.iter_mut().find(|member| member.staged.item.id == item).ok_or(Lie("an item that is not its own"))
    }

    /// Takes the bytes of a body: decodes them and checks that they speak of this unit.
    pub fn admit(&mut self, bytes: &[u8]) -> Result<Body, Lie> {
        let body: Body = wire::from_bytes(bytes).map_err(|_| Lie("bytes that are no body"))?;
        if body.exhibit() != self.exhibit {
            return Err(Lie("another exhibit"));
        }
        match &body {
            Body::Item(item) => {
                let member = self.member(item.id)?;
                let staged = &member.staged.item;
                let said = model::Item {
                    status: staged.status,
                    reason: staged.reason.clone(),
                    definition: staged.definition.clone(),
                    announced: staged.announced,
                    ..item.as_ref().clone()
                };
                if said != *staged {
                    return Err(Lie("an item that is not as it was staged"));
                }
                if member.announced.replace(item.announced).is_some() {
                    return Err(Lie("an item ended twice"));
                }
            }
            Body::Definition(_) => {}
            Body::Problem(problem) if problem.stage != Stage::Normalize => return Err(Lie("a problem of another stage")),
            Body::Record(_) | Body::Sighting(_) | Body::Secret(_) | Body::Problem(_) | Body::Ledger(_) => {
                let item = body.item().ok_or(Lie("a body that names no item"))?;
                let member = self.member(item)?;
                member.bodies = member.bodies.saturating_add(1);
            }
            Body::Exhibit(_) | Body::Directory(_) | Body::End(_) => return Err(Lie("a body that is not a parser's")),
        }
        Ok(body)
    }

    /// Ends the account: every item has its final status and announces exactly what was said of it.
    pub fn close(&self) -> Result<(), Lie> {
        for member in &self.members {
            let announced = member.announced.ok_or(Lie("an item without an end"))?;
            if Some(announced) != member.staged.item.announced.checked_add(member.bodies) {
                return Err(Lie("another count than it sent"));
            }
        }
        Ok(())
    }
}

/// The items of a unit that was not read, with their final status; `bodies` on the primary are announced.
pub fn failed(unit: &WorkUnit, reason: &str, bodies: u64) -> Vec<Body> {
    let members = std::iter::once((&unit.primary, bodies)).chain(unit.companions.iter().map(|companion| (companion, 0)));
    members
        .map(|(staged, bodies)| {
            let mut item = staged.item.clone();
            item.status = ItemStatus::Failed;
            item.reason = Some(reason.to_owned());
            item.announced = item.announced.saturating_add(bodies);
            Body::Item(Box::new(item))
        })
        .collect()
}
