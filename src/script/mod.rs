//! stub
#[derive(Default)]
pub struct ScriptCache;
