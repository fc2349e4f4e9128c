//! Updates that are kept prepared. Diesel takes each update for one whose text depends on its values, since a changeset may leave columns
//! out; here none does.

use diesel::backend::Backend;
use diesel::query_builder::{AsChangeset, AstPass, IntoUpdateTarget, QueryFragment, QueryId, UpdateTarget};
use diesel::query_source::Table;
use diesel::{QueryResult, QuerySource, RunQueryDsl};

/// An update like [`diesel::update`] that each connection parses and plans once. Not for changesets that leave out what is `None`: each
/// choice of columns would be kept.
pub(super) fn update<T: IntoUpdateTarget>(rows: T) -> Rows<T::Table, T::WhereClause> {
    Rows(rows.into_update_target())
}

/// The rows of an update.
pub(super) struct Rows<T, W>(UpdateTarget<T, W>);

impl<T: Table, W> Rows<T, W> {
    /// Says what they become.
    pub(super) fn set<C: AsChangeset<Target = T>>(self, changes: C) -> Update<T, W, C::Changeset> {
        Update { rows: self.0, changes: changes.as_changeset() }
    }
}

/// The update as a whole.
pub(super) struct Update<T, W, C> {
    rows: UpdateTarget<T, W>,
    changes: C,
}

impl<T, W, C, DB> QueryFragment<DB> for Update<T, W, C>
where
    DB: Backend,
    T: Table + QueryFragment<DB>,
    W: QueryFragment<DB>,
    C: QueryFragment<DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql("UPDATE ");
        self.rows.table.walk_ast(out.reborrow())?;
        out.push_sql(" SET ");
        self.changes.walk_ast(out.reborrow())?;
        self.rows.where_clause.walk_ast(out)
    }
}

/// Found by its text.
impl<T: QuerySource, W, C> QueryId for Update<T, W, C> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<T, W, C, Conn> RunQueryDsl<Conn> for Update<T, W, C> {}
