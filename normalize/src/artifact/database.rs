//! Reads a SQLite database by every definition that fits it.

use super::schema::{Fit, Schema};
use super::{Artifact, Query, Set, Variant, carved, lava, query, shadow, unknown};
use crate::emit::Emit;
use crate::parse::wallet::bitcoin;
use crate::parse::{Input, Outcome, store};
use crate::recover::Recovered;
use crate::scratch::{self, Evidence};
use model::{Code, State};
use rusqlite::Connection;

/// Reads the database in the input's scratch folder. The outcome is `plain` where no definition knows it, `partial` where
/// something could not be read or its schema has drifted, `failed` where SQLite refuses it as a whole.
pub fn read_database(input: &Input<'_>, set: &Set, emit: &mut Emit<'_>) -> Outcome {
    let (mut evidence, schema, mut complete) = match open(input, emit) {
        Ok(opened) => opened,
        Err(outcome) => return outcome,
    };
    let mut read = false;
    let mut recovered = None;
    let mut fitting = Vec::new();
    let (imported, wrong) = lava::artifacts(&schema);
    for detail in wrong {
        complete = false;
        emit.problem(Code::QueryFailed, detail);
    }
    for artifact in set.artifacts().iter().chain(&imported) {
        let expected = artifact.expects(&input.unit.primary.item.path);
        match schema.fit(artifact, expected) {
            Fit::Variant(variant) => {
                read = true;
                emit.define(&artifact.name, artifact.sha256);
                complete &= read_variant(&mut evidence, artifact, &variant, &schema, emit);
                if input.limits.recover_rows {
                    let recovered = recovered.get_or_insert_with(|| recover(&evidence, input, emit));
                    complete &= read_recovered(&mut evidence, artifact, &variant, &schema, recovered, emit);
                    fitting.push((artifact, variant));
                }
            }
            Fit::Drift(missing) => {
                complete = false;
                emit.problem(Code::SchemaDrift, format!("definition {}: missing {missing}", artifact.name));
            }
            Fit::None => {}
        }
    }
    while let Some(recovered) = &mut recovered
        && recovered.read_on(&evidence.connection)
    {
        for (artifact, variant) in &fitting {
            emit.define(&artifact.name, artifact.sha256);
            complete &= read_recovered(&mut evidence, artifact, variant, &schema, recovered, emit);
        }
    }
    let wallet = bitcoin::read_database(&evidence.connection, input.folder, input.limits.recover_rows, &schema, emit);
    read |= wallet.is_some();
    complete &= wallet.unwrap_or(true);
    read |= store::read_database(&evidence.connection, &schema, emit);
    if let Some(detail) = lava::others(&evidence.connection, &schema, &imported) {
        emit.problem(Code::Unrecognized, detail);
    } else if !read && let Some(detail) = unknown::message_like(&evidence.connection, &schema) {
        emit.problem(Code::Unrecognized, detail);
    }
    match (complete, read) {
        (true, true) => Outcome::parsed(),
        (true, false) => Outcome::plain(),
        (false, _) => Outcome::partial("see its problems"),
    }
}

/// Opens the database and reads its schema: with its companions, and without them if SQLite refuses them.
fn open(input: &Input<'_>, emit: &mut Emit<'_>) -> Result<(Evidence, Schema, bool), Outcome> {
    let opened = |companions: bool| {
        let evidence = Evidence::open(input.folder, input.limits, input.unit.region.as_deref(), companions)?;
        crate::decode::path::register(&evidence.connection, &input.unit.primary.item.path)?;
        let schema = Schema::read(&evidence.connection)?;
        Ok((evidence, schema))
    };
    let error = match opened(true) {
        Ok((evidence, schema)) => return Ok((evidence, schema, true)),
        Err(error) => error,
    };
    if scratch::has_companions(input.folder)
        && let Ok((evidence, schema)) = opened(false)
    {
        let reason = scratch::reason(&error);
        emit.problem(Code::CompanionOrphan, format!("its -wal or -journal does not fit the database: {reason}"));
        return Ok((evidence, schema, false));
    }
    emit.problem(scratch::code(&error), format!("the database cannot be opened: {}", scratch::reason(&error)));
    Err(Outcome::failed("see its problems"))
}

/// Runs every query of a variant whose row table is there.
fn read_variant(evidence: &mut Evidence, artifact: &Artifact, variant: &Variant, schema: &Schema, emit: &mut Emit<'_>) -> bool {
    with_stand_ins(evidence, artifact, variant, schema, emit, |connection, emit| {
        let mut complete = true;
        for query in &variant.query {
            // An optional table that is absent has no rows to count.
            if schema.columns(&query.row_table).is_some() {
                complete &= query::run(connection, artifact, query, State::Live, emit);
            }
        }
        complete
    })
}

/// Makes the stand-ins, confines SQLite to the tables of the variant, does something, and takes both back.
fn with_stand_ins(
    evidence: &mut Evidence,
    artifact: &Artifact,
    variant: &Variant,
    schema: &Schema,
    emit: &mut Emit<'_>,
    work: impl FnOnce(&Connection, &mut Emit<'_>) -> bool,
) -> bool {
    let tables = variant.require.keys().chain(variant.optional.keys());
    let result = shadow::stand_in(&evidence.connection, schema, variant).and_then(|()| evidence.confine(tables)).map(|()| {
        let complete = work(&evidence.connection, emit);
        evidence.release().and_then(|()| shadow::clear(&evidence.connection)).map(|()| complete)
    });
    match result {
        Ok(Ok(complete)) => complete,
        Ok(Err(error)) | Err(error) => {
            let reason = scratch::reason(&error);
            emit.problem(scratch::code(&error), format!("definition {}: {reason}", artifact.name));
            false
        }
    }
}

/// Reads the rows that are not live with the queries of a variant: those of each row table for themselves.
fn read_recovered(
    evidence: &mut Evidence,
    artifact: &Artifact,
    variant: &Variant,
    schema: &Schema,
    recovered: &Recovered,
    emit: &mut Emit<'_>,
) -> bool {
    let mut complete = true;
    // What stands in the way in tables that nothing here reads concerns no record.
    let concerns = |table: &Option<String>| {
        let is = |table: &String| variant.query.iter().any(|query| query.row_table.eq_ignore_ascii_case(table));
        table.as_ref().is_none_or(is)
    };
    for obstacle in recovered.problems.iter().filter(|obstacle| concerns(&obstacle.table)) {
        emit.problem(obstacle.code, obstacle.detail.as_str());
    }
    for (place, table) in recovered.tables.iter().enumerate() {
        let reads = |query: &&Query| !table.dropped && query.row_table.eq_ignore_ascii_case(&table.name);
        let queries: Vec<&Query> = variant.query.iter().filter(reads).collect();
        if queries.is_empty() || recovered.of(place).is_empty() {
            continue;
        }
        complete &= with_stand_ins(evidence, artifact, variant, schema, emit, |connection, emit| {
            carved::read(connection, artifact, &queries, recovered, place, emit).unwrap_or_else(|error| {
                let reason = scratch::reason(&error);
                emit.problem(scratch::code(&error), format!("table {}: deleted rows: {reason}", table.name));
                false
            })
        });
    }
    complete
}

/// Looks for the rows that are not live.
fn recover(evidence: &Evidence, input: &Input<'_>, emit: &mut Emit<'_>) -> Recovered {
    Recovered::read(&evidence.connection, input.folder).unwrap_or_else(|error| {
        emit.problem(scratch::code(&error), format!("deleted rows: {}", scratch::reason(&error)));
        Recovered::default()
    })
}

/// Reads every live row as if it had been recovered, and no other: tests hold that both ways read alike.
pub fn read_as_recovered(input: &Input<'_>, set: &Set, emit: &mut Emit<'_>) -> Outcome {
    let (mut evidence, schema, mut complete) = match open(input, emit) {
        Ok(opened) => opened,
        Err(outcome) => return outcome,
    };
    let recovered = match carved::live_as_recovered(&evidence.connection) {
        Ok(recovered) => recovered,
        Err(error) => return Outcome::failed(scratch::reason(&error)),
    };
    let (imported, _) = lava::artifacts(&schema);
    for artifact in set.artifacts().iter().chain(&imported) {
        let Fit::Variant(variant) = schema.fit(artifact, false) else { continue };
        emit.define(&artifact.name, artifact.sha256);
        complete &= read_recovered(&mut evidence, artifact, &variant, &schema, &recovered, emit);
    }
    if complete { Outcome::parsed() } else { Outcome::partial("see its problems") }
}
