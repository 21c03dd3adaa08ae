//! The one command of a workbench
