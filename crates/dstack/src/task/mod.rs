//! A task into a job: what is submitted when somebody applies a task's configuration.

mod container;
mod directory;
mod name;
mod notices;
mod overrides;
mod placement;
mod resources;
mod script;
mod submission;

pub use name::{NAME_SEEDS, generated_name};
pub use overrides::Overrides;
pub use placement::ClusterView;
pub use submission::{Applicant, PRIORITY_STEP, PROJECT_DEFAULT, Submission, submission};
