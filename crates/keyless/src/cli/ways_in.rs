//! The flags of the commands that make desired state out of something else.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use keyless_core::id::{ArmId, SubscriptionId};

use super::ConfigArgs;

/// In which form a summary is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Summary {
    /// For people at a terminal.
    Text,
    /// For programs; field names are stable.
    Json,
}

/// `keyless adopt`
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("where").required(true).multiple(true).args(["subscription", "resource_group"]))]
pub(crate) struct AdoptArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,
    /// A subscription whose workspaces are adopted; may be given several times
    #[arg(long, value_name = "ID", value_parser = subscription)]
    pub(crate) subscription: Vec<SubscriptionId>,
    /// Adopt only what is in this resource group, given by its id; may be given several times
    #[arg(long, value_name = "ID", value_parser = resource_group)]
    pub(crate) resource_group: Vec<ArmId>,
    /// Names this installation in every grant it will make; asked for at a terminal
    #[arg(long, value_name = "NAME")]
    pub(crate) owner: Option<String>,
    /// Where the files are written
    #[arg(long, value_name = "DIR", default_value = "desired")]
    pub(crate) out: PathBuf,
    /// Write over files that are there already
    #[arg(long)]
    pub(crate) force: bool,
    /// The form of the summary on stdout
    #[arg(long, short, value_enum, default_value_t = Summary::Text)]
    pub(crate) output: Summary,
}

/// `keyless import`
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The files, in any of the forms and mixed as they come; files of parameters count for all templates
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The subscription that the files are deployed to
    #[arg(long, value_name = "ID", value_parser = subscription)]
    pub(crate) subscription: Option<SubscriptionId>,
    /// The name of the resource group that the files are deployed to
    #[arg(long, value_name = "NAME")]
    pub(crate) resource_group: Option<String>,
    /// The resource that a body without an id, or a placeholder, stands for
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Where the documents are written; stdout if left out
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Write over a file that is there already
    #[arg(long)]
    pub(crate) force: bool,
}

fn subscription(text: &str) -> Result<SubscriptionId, String> {
    text.parse().map_err(|error: keyless_core::id::IdError| error.to_string())
}

fn resource_group(text: &str) -> Result<ArmId, String> {
    let id = ArmId::parse(text).map_err(|error| error.to_string())?;
    if id.subscription().is_some() && id.resource_group().is_some() && id.as_str().split('/').count() == 5 {
        Ok(id)
    } else {
        Err(format!("`{text}` is not the id of a resource group: /subscriptions/GUID/resourceGroups/NAME"))
    }
}
