use crate::PayloadError;
use kappadb_core::codec::DecodeError;
use kappadb_feed::ReadError;
use kappadb_store::StoreError;

/// Why a view did not answer, or could not be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row is not what the view wrote. The view is rebuilt.
    #[error("a row of the view cannot be read: {0}")]
    Row(#[from] DecodeError),
    /// Rows contradict each other. The view is rebuilt.
    #[error("the rows of the view do not fit together: {0}")]
    Inconsistent(&'static str),
    /// The rows were made from another journal, or from more of it than there is. The view is rebuilt.
    #[error("the rows of the view are not of this journal")]
    Foreign,
    /// The arrival log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// This view cannot be asked that.
    #[error("the view does not understand this selector")]
    Unsupported,
    /// Answering would go over this limit.
    #[error("over the limit {0}")]
    Limit(&'static str),
    /// The view is made anew and has nothing older to answer from; [`crate::ViewHandle::ready`] waits for it.
    #[error("the view {0:?} is being rebuilt")]
    Rebuilding(String),
    /// Indexing fails again and again.
    #[error("the view {view:?} stands still: {reason}")]
    Stalled {
        /// The view.
        view: String,
        /// The last error.
        reason: String,
    },
    /// It did not take in what had arrived before the question in the time that there was.
    #[error("the view {0:?} is not ready: it is still taking in what arrived before; ask again later")]
    Late(String),
    /// The view's own code panicked.
    #[error("the view panicked: {0}")]
    Panicked(String),
    /// The views were closed.
    #[error("the views are closed")]
    Closed,
    /// No view of this name is registered.
    #[error("there is no view {0:?}")]
    Unknown(String),
    /// The database was opened without this view.
    #[error("the view {0:?} does not run here: the database was opened without it")]
    Off(String),
    /// A view of this name is registered already.
    #[error("there is a view {0:?} already")]
    Taken(String),
    /// A name has 1 to `MAX_VIEW_NAME` letters, digits, `-`, `_` or `.`.
    #[error("{0:?} cannot be the name of a view")]
    BadName(String),
    /// No thread could be started.
    #[error("no thread for the view: {0}")]
    Thread(std::io::Error),
    /// Anything else that a view wants to say.
    #[error(transparent)]
    Custom(Box<dyn std::error::Error + Send + Sync>),
}

impl From<PayloadError> for ViewError {
    fn from(error: PayloadError) -> ViewError {
        match error {
            PayloadError::Read(error) => ViewError::Read(error),
            error => ViewError::Custom(error.into()),
        }
    }
}

impl ViewError {
    /// True if this view alone is to blame: others may be well.
    pub(crate) fn is_its_own(&self) -> bool {
        use ViewError::{Custom, Late, Panicked, Rebuilding, Stalled};
        matches!(self, Stalled { .. } | Late(_) | Panicked(_) | Rebuilding(_) | Custom(_))
    }

    /// True if the rows are of no use any more: only making them anew from the journal helps.
    pub fn wants_rebuild(&self) -> bool {
        matches!(self, ViewError::Row(_) | ViewError::Inconsistent(_) | ViewError::Foreign)
    }
}
