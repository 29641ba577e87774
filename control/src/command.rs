//! `uvs show`: asks a running director and prints what it says, as tables for people or as JSON for programs.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use serde::Serialize;

use crate::client::{Client, ClientError, Conns};
use crate::filter::ConnFilter;
use crate::protocol::What;
use crate::table::{self, ConnTable};

/// Conns whose columns are aligned together; so many are held at once.
const PAGE_CONNS: usize = 1000;

/// Arguments of `uvs show`.
#[derive(Clone, Debug, clap::Args)]
pub struct ShowArgs {
    /// What to show
    pub what: What,
    /// Print JSON (one object; for conns one object a line)
    #[arg(long)]
    pub json: bool,
    /// Directory of the running director's sockets
    #[arg(long, value_name = "DIR", default_value = "/run/uvs")]
    pub run_dir: PathBuf,
    /// For conns
    #[command(flatten)]
    pub filter: ConnFilter,
}

/// Why nothing, or not all, could be shown.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// The director did not tell.
    #[error(transparent)]
    Director(#[from] ClientError),
    /// A filter of conns for something else.
    #[error("--service, --server and --client go with `uvs show conns` only")]
    Filter,
    /// The output does not take it.
    #[error("output: {0}")]
    Output(#[from] io::Error),
}

/// Asks the director and prints its answer. A reader that has seen enough (`uvs show conns | head`) is no failure.
pub fn show(args: &ShowArgs, out: &mut impl Write) -> Result<(), ShowError> {
    let mut out = BufWriter::new(out);
    match print(args, &mut out).and_then(|()| Ok(out.flush()?)) {
        Err(ShowError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn print(args: &ShowArgs, out: &mut impl Write) -> Result<(), ShowError> {
    let &ShowArgs { what, json, ref run_dir, ref filter } = args;
    if what != What::Conns && *filter != ConnFilter::default() {
        return Err(ShowError::Filter);
    }
    let mut client = Client::connect(run_dir)?;
    let columns = table::terminal_columns();
    let one = One { json, out };
    match what {
        What::Conns if json => conn_objects(client.conns(filter)?, one.out),
        What::Conns => conn_lines(client.conns(filter)?, columns, one.out),
        What::Services => one.print(&client.services()?, |services| table::services(services, columns)),
        What::Rates => one.print(&client.services()?, |services| table::rates(services, columns)),
        What::Ports => one.print(&client.ports()?, |ports| table::ports(ports, columns)),
        What::Workers => one.print(&client.workers()?, table::workers),
        What::Drops => one.print(&client.drops()?, |drops| table::drops(drops, columns)),
        What::Neighbors => one.print(&client.neighbors()?, |neighbors| table::neighbors(neighbors, columns)),
        What::Routes => one.print(&client.routes()?, |routes| table::routes(routes, columns)),
        What::Version => one.print(&client.version()?, table::version),
    }
}

/// An answer that is one object.
struct One<'a, W> {
    json: bool,
    out: &'a mut W,
}

impl<W: Write> One<'_, W> {
    fn print<T: Serialize>(self, object: &T, table: impl FnOnce(&T) -> String) -> Result<(), ShowError> {
        let text = if self.json { json_line(object) } else { table(object) };
        Ok(self.out.write_all(text.as_bytes())?)
    }
}

fn json_line(object: &impl Serialize) -> String {
    serde_json::to_string(object).expect("plain data with string keys always becomes JSON") + "\n"
}

fn conn_objects(conns: Conns, out: &mut impl Write) -> Result<(), ShowError> {
    for conn in conns {
        out.write_all(json_line(&conn?).as_bytes())?;
    }
    Ok(())
}

fn conn_lines(mut conns: Conns, columns: Option<usize>, out: &mut impl Write) -> Result<(), ShowError> {
    let mut table = ConnTable::within(columns);
    loop {
        let page = conns.by_ref().take(PAGE_CONNS).collect::<Result<Vec<_>, _>>()?;
        out.write_all(table.lines(&page).as_bytes())?;
        if page.len() < PAGE_CONNS {
            return Ok(());
        }
    }
}
