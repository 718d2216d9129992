//! Functions of libraries: whatever one call does to the variables around it, the next begins as the first did.

use std::fmt::Write;
use std::sync::Arc;

use super::*;
use crate::script::{Callee, Library, LibraryHeader, LibrarySet};

/// Loads a library in a VM of the pool.
fn load(bench: &mut Bench, code: &str) -> LibrarySet {
    let header = LibraryHeader::parse(code.as_bytes()).unwrap();
    let mut library = Library::new(header, code.as_bytes(), Vec::new());
    let mut run = library
        .start(bench.pool.take(bench.dialect).unwrap())
        .unwrap();
    let mut out = Recorder::new(Protocol::Resp3);
    loop {
        match run.resume(&mut bench.host, &mut out) {
            Step::Done => break,
            // A long library is suspended on a busy machine.
            Step::Preempted => {}
            step => panic!("{step:?}: {code}"),
        }
    }
    library.set_functions(run.registered());
    let mut set = LibrarySet::default();
    set.add(Arc::new(library)).unwrap();
    set
}

fn call(bench: &mut Bench, callee: &Callee) -> Result<Value, Step> {
    let vm = bench.pool.take(bench.dialect).unwrap();
    let mut run = ScriptRun::start(vm, callee.clone(), &[b"key"], &[b"arg"], 1).unwrap();
    let mut out = Recorder::new(Protocol::Resp3);
    loop {
        match run.resume(&mut bench.host, &mut out) {
            Step::Done => return Ok(out.into_value()),
            Step::Preempted | Step::WaitForLock => {}
            step => return Err(step),
        }
    }
}

/// Calls the function `f` of a library several times; what each gave.
fn calls(code: &str) -> Vec<Result<Value, Step>> {
    let mut bench = Bench::new(Dialect::Aikv);
    let set = load(&mut bench, &format!("#!lua name=lib\n{code}"));
    let callee = set.callee(b"f").unwrap().clone();
    (0..4).map(|_| call(&mut bench, &callee)).collect()
}

#[test]
fn variables_around_a_function_begin_anew() {
    let cases = [
        "local n = 0 redis.register_function('f', function() n = n + 1 return n end)",
        "local n = nil redis.register_function('f', function() n = (n or 0) + 1 return n end)",
        "local t = {0} redis.register_function('f', function() t[1] = t[1] + 1 return t[1] end)",
        "local n = 0 local function g() n = n + 1 return n end redis.register_function('f', function() return g() end)",
        "local function g() return 1 end redis.register_function('f', function() local r = g() g = function() return 2 end return r end)",
        "local function deep() local n = 0 return function() n = n + 1 return n end end local c = deep() redis.register_function('f', function() return c() end)",
        "local next = ('1 2 3'):gmatch('%d') redis.register_function('f', function() return tonumber(next()) end)",
        "local g redis.register_function('f', function() if g then return g() end g = function() return 2 end return 1 end)",
        "local f f = function(again) if again then return 1 end return f(true) end redis.register_function('f', function() return f() end)",
        "redis.register_function('f', function() local one = tonumber('1') _ENV = {} return one end)",
        "local seen = redis redis.register_function('f', function() return seen.LOG_VERBOSE end)",
        "local t = ({{}})[1] redis.register_function('f', function() t.n = (t.n or 0) + 1 return t.n end)",
    ];
    for code in cases {
        for (number, result) in calls(code).into_iter().enumerate() {
            assert_eq!(result, Ok(int(1)), "call {number} of {code}");
        }
    }
}

#[test]
fn a_function_has_only_what_it_is_given() {
    let code = "redis.register_function('f', function(keys, args) return {keys[1], args[1], #keys, #args} end)";
    for result in calls(code) {
        assert_eq!(
            result,
            Ok(array([bulk("key"), bulk("arg"), int(1), int(1)]))
        );
    }
    for result in calls("redis.register_function('f', function() return KEYS end)") {
        assert!(matches!(result, Err(Step::Failed(_))), "{result:?}");
    }
    for result in calls(
        "local register = redis.register_function redis.register_function('f', function() register('g', register) end)",
    ) {
        let Err(Step::Failed(error)) = result else {
            panic!("{result:?}");
        };
        let text = String::from_utf8_lossy(&error.message).into_owned();
        assert!(
            text.contains("can only be called on FUNCTION LOAD"),
            "{text}"
        );
    }
}

/// A function's address tells whether its library's code was run again: the old one is not yet collected.
#[test]
fn code_is_not_run_again_where_the_state_can_be_kept() {
    let kept = "local address = ('%p'):format(function() end) redis.register_function('f', function() local was = address address = 1 return was end)";
    let results = calls(kept);
    assert!(
        results.iter().all(|result| *result == results[0]),
        "{results:?}"
    );
    let with_table = format!(
        "local t = {{}} {}",
        kept.replace("local was", "t[1] = 1 local was")
    );
    let results = calls(&with_table);
    assert!(
        results.iter().skip(1).all(|result| *result != results[0]),
        "{results:?}"
    );
}

/// What is said while a library is loaded is said once.
#[test]
fn code_logs_when_it_is_loaded_and_not_when_it_is_called() {
    let mut bench = Bench::new(Dialect::Redis);
    let code = "#!lua name=lib\nlocal t = {} redis.log(redis.LOG_NOTICE, 'loaded')\nredis.register_function('f', function() redis.log(redis.LOG_NOTICE, 'called', #t) end)";
    let set = load(&mut bench, code);
    let callee = set.callee(b"f").unwrap().clone();
    call(&mut bench, &callee).unwrap();
    call(&mut bench, &callee).unwrap();
    let logged: Vec<&[u8]> = bench
        .host
        .logged
        .iter()
        .map(|(_, line)| &line[..])
        .collect();
    assert_eq!(logged, [&b"loaded"[..], b"called 0", b"called 0"]);
}

#[test]
fn a_budget_ends_every_call_at_the_same_instruction() {
    let code = "#!lua name=lib max-instructions=3000\nlocal n = 0 for i = 1, 100 do n = n + i end\nredis.register_function('f', function() local i = 0 while true do i = i + 1 redis.call('SET', 'i', i) end end)";
    let mut bench = Bench::new(Dialect::Aikv);
    let set = load(&mut bench, code);
    let callee = set.callee(b"f").unwrap().clone();
    let mut reached = Vec::new();
    for _ in 0..3 {
        bench.host.strings.clear();
        assert!(matches!(call(&mut bench, &callee), Err(Step::Aborted(_))));
        reached.push(bench.host.strings[&b"i"[..]].clone());
    }
    assert!(
        reached.iter().all(|last| *last == reached[0]),
        "{reached:?}"
    );
}

/// More functions than a VM keeps, and more variables than it keeps of one.
#[test]
fn what_is_kept_is_bounded() {
    let mut code = String::from("#!lua name=lib\n");
    for number in 0..600 {
        let _ = writeln!(
            code,
            "do local n = {number} redis.register_function('f{number}', function() n = n + 1 return n end) end"
        );
    }
    let names: Vec<String> = (0..100).map(|number| format!("v{number}")).collect();
    let sum = names.join(" + ");
    for name in &names {
        let _ = writeln!(code, "local {name} = 1");
    }
    let _ = writeln!(
        code,
        "redis.register_function('sum', function() v1 = v1 + 1 return {sum} end)"
    );
    let mut bench = Bench::new(Dialect::Aikv);
    let set = load(&mut bench, &code);
    for _ in 0..2 {
        for number in 0..600 {
            let callee = set.callee(format!("f{number}").as_bytes()).unwrap().clone();
            assert_eq!(call(&mut bench, &callee), Ok(int(number + 1)));
        }
        let sum = set.callee(b"sum").unwrap().clone();
        assert_eq!(call(&mut bench, &sum), Ok(int(101)));
    }
}

/// Libraries of random variables and of functions that change them at random.
#[test]
fn random_libraries_give_the_same_in_every_call() {
    for seed in 0..400 {
        let code = random_library(&mut fastrand::Rng::with_seed(seed));
        let mut bench = Bench::new(Dialect::Aikv);
        let set = load(&mut bench, &code);
        for name in ["f", "g"] {
            let callee = set.callee(name.as_bytes()).unwrap().clone();
            let first = call(&mut Bench::new(Dialect::Aikv), &callee);
            for number in 0..3 {
                let again = call(&mut bench, &callee);
                assert_eq!(
                    again, first,
                    "seed {seed}, call {number} of {name} in\n{code}"
                );
            }
        }
    }
}

const VARIABLES: usize = 4;

fn random_library(rng: &mut fastrand::Rng) -> String {
    let mut code = String::from("#!lua name=lib\nlocal a, b, c, d\n");
    for _ in 0..VARIABLES {
        let _ = writeln!(code, "{}", statement(rng, true));
    }
    for helper in ["h", "i"] {
        let _ = writeln!(code, "local function {helper}() {} end", statements(rng));
    }
    for name in ["f", "g"] {
        let _ = writeln!(
            code,
            "redis.register_function('{name}', function() {} h() i() {}
               local shown = {{}}
               for n, x in ipairs({{a or 'nil', b or 'nil', c or 'nil', d or 'nil'}}) do
                 local kind = type(x)
                 if kind == 'function' then x = kind .. tostring(x()) elseif kind == 'table' then x = kind .. #x end
                 shown[n] = tostring(x)
               end
               return shown
             end)",
            statements(rng),
            statements(rng)
        );
    }
    code
}

fn statements(rng: &mut fastrand::Rng) -> String {
    let all: Vec<String> = (0..rng.usize(0..4))
        .map(|_| statement(rng, false))
        .collect();
    all.join(" ")
}

/// A statement that changes a variable. While a library is loaded, only syntax is there.
fn statement(rng: &mut fastrand::Rng, at_load: bool) -> String {
    let [x, y] = [(); 2].map(|()| rng.choice(["a", "b", "c", "d"]).unwrap());
    let count = format!("{y} = {y} ~= true and 1 or 2 return 3");
    match rng.usize(0..if at_load { 7 } else { 10 }) {
        0 => format!("{x} = {}", rng.u8(0..9)),
        1 => format!("{x} = 'text'"),
        2 => format!("{x} = true"),
        3 => format!("{x} = {y}"),
        4 => format!("{x} = function() {count} end"),
        5 if rng.u8(0..3) == 0 => format!("{x} = {{}}"),
        5 | 6 => format!("{x} = nil"),
        7 => format!("if type({x}) == 'number' then {x} = {x} + 1 end"),
        8 => format!("if type({x}) == 'table' then {x}[#{x} + 1] = 1 end"),
        _ => format!("if type({x}) == 'function' then {x}() end"),
    }
}
