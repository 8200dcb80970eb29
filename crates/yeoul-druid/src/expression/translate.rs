//! Tree → SQL: operators, and the rules by which Druid brings two values to one type.

use arrow::datatypes::Schema;

use super::{Ast, ExpressionError, Operator, SQL_BYTES_MAX, Sql, Ty, functions};
use crate::text::joined;

/// Translates a tree; `columns` tells what a name stands for, `None` for a name that is unknown
/// and therefore null. A name may stand for any SQL, such as a virtual column's.
///
/// # Errors
/// When a function or its arguments are wrong or not offered, or the SQL becomes too long.
pub fn to_sql(ast: &Ast, columns: &dyn Fn(&str) -> Option<Sql>) -> Result<Sql, ExpressionError> {
    let made = match ast {
        Ast::Null => Sql::null(),
        Ast::Long(value) => Sql::long(*value),
        Ast::Double(value) => Sql::double(*value),
        Ast::String(text) => Sql::string(text),
        Ast::Name(name) => columns(name).unwrap_or_else(Sql::null),
        Ast::Array(items) => array(items, columns)?,
        Ast::Not(inner) => {
            Sql::new(format!("(NOT {})", to_sql(inner, columns)?.as_bool()), Ty::Bool)
        }
        Ast::Minus(inner) => {
            let inner = to_sql(inner, columns)?.as_number();
            Sql::new(format!("(- {})", inner.text), inner.ty)
        }
        Ast::All(parts) => Sql::new(joined(conditions(parts, columns)?, "AND", "TRUE"), Ty::Bool),
        Ast::Any(parts) => Sql::new(joined(conditions(parts, columns)?, "OR", "FALSE"), Ty::Bool),
        Ast::Binary(operator, left, right) => {
            let (left, right) = (to_sql(left, columns)?, to_sql(right, columns)?);
            binary(*operator, &left, &right)?
        }
        Ast::Call(name, arguments) => functions::call(name, arguments, columns)?,
    };
    if made.text.len() > SQL_BYTES_MAX {
        let message = format!("the expression needs more than {SQL_BYTES_MAX} bytes of SQL");
        return Err(ExpressionError::invalid(message));
    }
    Ok(made)
}

/// Translates a tree over the columns of `schema`, each under its own name.
///
/// # Errors
/// As [`to_sql`].
pub fn to_sql_expr(ast: &Ast, schema: &Schema) -> Result<Sql, ExpressionError> {
    let column = |name: &str| {
        let (_, field) = schema.column_with_name(name)?;
        Some(Sql::column(name, Ty::of(field.data_type())))
    };
    to_sql(ast, &column)
}

fn conditions(
    parts: &[Ast],
    columns: &dyn Fn(&str) -> Option<Sql>,
) -> Result<Vec<String>, ExpressionError> {
    parts.iter().map(|part| Ok(to_sql(part, columns)?.as_bool())).collect()
}

fn array(items: &[Ast], columns: &dyn Fn(&str) -> Option<Sql>) -> Result<Sql, ExpressionError> {
    let items: Vec<Sql> =
        items.iter().map(|item| to_sql(item, columns)).collect::<Result<_, _>>()?;
    let ty = items.iter().fold(Ty::Null, |ty, item| ty.common(item.ty));
    let texts: Vec<String> = items.iter().map(|item| item.cast(ty).text).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let ty = if ty.is_number() { Ty::Numbers } else { Ty::Strings };
    Ok(Sql::call("MAKE_ARRAY", &texts, ty))
}

fn binary(operator: Operator, left: &Sql, right: &Sql) -> Result<Sql, ExpressionError> {
    let symbol = match operator {
        Operator::Less => "<",
        Operator::LessEqual => "<=",
        Operator::Greater => ">",
        Operator::GreaterEqual => ">=",
        Operator::Equal => "=",
        Operator::NotEqual => "<>",
        Operator::And => return Ok(Sql::new(both(left, "AND", right), Ty::Bool)),
        Operator::Or => return Ok(Sql::new(both(left, "OR", right), Ty::Bool)),
        _ => return arithmetic(operator, left, right),
    };
    compare(left, symbol, right)
}

fn both(left: &Sql, word: &str, right: &Sql) -> String {
    format!("({} {word} {})", left.as_bool(), right.as_bool())
}

/// A comparison: of text when both are text, else of numbers, as longs when both are.
pub(crate) fn compare(left: &Sql, symbol: &str, right: &Sql) -> Result<Sql, ExpressionError> {
    let condition =
        |left: String, right: String| Ok(Sql::new(format!("({left} {symbol} {right})"), Ty::Bool));
    let textual = |ty| matches!(ty, Ty::String | Ty::Flag);
    match (left.ty, right.ty) {
        (Ty::Null, _) | (_, Ty::Null) => Ok(Sql::new("CAST(NULL AS BOOLEAN)", Ty::Bool)),
        (Ty::State(_) | Ty::Other, _) | (_, Ty::State(_) | Ty::Other) => {
            Err(ExpressionError::unsupported("sketches and nested values cannot be compared"))
        }
        (Ty::Strings, Ty::String) if symbol == "=" => {
            Ok(Sql::call("ARRAY_HAS", &[&left.text, &right.text], Ty::Bool))
        }
        (Ty::String, Ty::Strings) if symbol == "=" => {
            Ok(Sql::call("ARRAY_HAS", &[&right.text, &left.text], Ty::Bool))
        }
        (Ty::Strings | Ty::Numbers, _) | (_, Ty::Strings | Ty::Numbers) => {
            Err(ExpressionError::unsupported("multi-value columns cannot be compared like this"))
        }
        // Instants stay instants, so that the time range of a scan is seen.
        (Ty::Time, Ty::Time) => condition(left.text.clone(), right.text.clone()),
        (Ty::Time, Ty::Long) => match right.text.parse().ok().and_then(Sql::millis) {
            Some(at) => condition(left.text.clone(), at.text),
            None => condition(left.as_long(), right.as_long()),
        },
        (Ty::Long, Ty::Time) => match left.text.parse().ok().and_then(Sql::millis) {
            Some(at) => condition(at.text, right.text.clone()),
            None => condition(left.as_long(), right.as_long()),
        },
        (a, b) if textual(a) && textual(b) => condition(left.as_string(), right.as_string()),
        (Ty::Double | Ty::String, _) | (_, Ty::Double | Ty::String) => {
            condition(left.as_double(), right.as_double())
        }
        _ => condition(left.as_long(), right.as_long()),
    }
}

fn arithmetic(operator: Operator, left: &Sql, right: &Sql) -> Result<Sql, ExpressionError> {
    if left.is_null() || right.is_null() {
        return Ok(Sql::null());
    }
    let computable = |ty: Ty| ty.is_number() || matches!(ty, Ty::String | Ty::Flag);
    if !computable(left.ty) || !computable(right.ty) {
        return Err(ExpressionError::unsupported(
            "sketches, multi-value columns and nested values cannot be computed with",
        ));
    }
    if operator == Operator::Plus && left.ty == Ty::String && right.ty == Ty::String {
        return Ok(Sql::new(format!("({} || {})", left.text, right.text), Ty::String));
    }
    let (left, right) = (left.as_number(), right.as_number());
    let long = left.ty == Ty::Long && right.ty == Ty::Long;
    if operator == Operator::Power {
        let made = Sql::call("POWER", &[&left.as_double(), &right.as_double()], Ty::Double);
        return Ok(if long { made.cast(Ty::Long) } else { made });
    }
    let symbol = match operator {
        Operator::Times => "*",
        Operator::Divide => "/",
        Operator::Modulo => "%",
        Operator::Plus => "+",
        _ => "-",
    };
    if long {
        // A division of integers by zero would end the query.
        let divides = matches!(operator, Operator::Divide | Operator::Modulo);
        let right = if divides { format!("NULLIF({}, 0)", right.text) } else { right.text };
        return Ok(Sql::new(format!("({} {symbol} {right})", left.text), Ty::Long));
    }
    let text = format!("({} {symbol} {})", left.as_double(), right.as_double());
    Ok(Sql::new(text, Ty::Double))
}
