r"""Functions that the store's statements call, for PostgreSQL: SQLite's own, and `sql_functions`.

JSON is text in the store, as it was sent. Here it is read as `json`, which keeps how a number was
written, and has no bounds of its own. What PostgreSQL's texts can't hold, `\u0000`, is read as
U+FFFD.
"""

import sys
from collections.abc import Iterable


def functions_script() -> str:
    """Return the statements that make the functions; the needles of searches are folded already."""
    folds = _folds()
    single = {char: folded for char, folded in folds.items() if len(folded) == 1}
    several = {char: folded for char, folded in folds.items() if len(folded) > 1}
    return _SCRIPT % {
        "single": "".join(single),
        "single_folds": "".join(single.values()),
        "several": "".join(several),
        "several_array": _array(several),
        "several_folds": _array(several.values()),
    }


def _folds() -> dict[str, str]:
    """Return what folds although it is lower case, such as the sharp s: lower() does the rest."""
    # Half characters (surrogates) fold to themselves.
    chars = map(chr, range(0x80, sys.maxunicode + 1))
    return {
        char: char.casefold() for char in chars if char.lower() == char and char.casefold() != char
    }


def _array(texts: Iterable[str]) -> str:
    return "ARRAY[" + ", ".join(f"'{text}'" for text in texts) + "]"


_SCRIPT = r"""
CREATE DOMAIN lcft_text AS text COLLATE "C";

CREATE FUNCTION lcft_instr(haystack text, needle text) RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT strpos(haystack, needle) $$;

CREATE FUNCTION lcft_fold(given text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    folded text := lower(given COLLATE "und-x-icu");
    several text[] := %(several_array)s;
    folds text[] := %(several_folds)s;
BEGIN
    IF folded ~ '[%(single)s]' THEN
        folded := translate(folded, '%(single)s', '%(single_folds)s');
    END IF;
    IF folded ~ '[%(several)s]' THEN
        FOR place IN 1 .. array_length(several, 1) LOOP
            folded := replace(folded, several[place], folds[place]);
        END LOOP;
    END IF;
    RETURN folded;
END $$;

CREATE FUNCTION lcft_casefold(given text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN octet_length(given) = length(given) THEN lower(given COLLATE "C")
        ELSE lcft_fold(given) END
$$;

CREATE FUNCTION lcft_json(data text) RETURNS json
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN strpos(data, '\u0000') = 0 THEN data::json
        ELSE regexp_replace(data, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g')::json END
$$;

CREATE FUNCTION lcft_json_extract(data text, path text) RETURNS lcft_text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (lcft_json(data) #>> string_to_array(substr(path, 3), '.'))::lcft_text
$$;

CREATE FUNCTION lcft_members(node json) RETURNS TABLE (key text, value json)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 10 AS $$
    SELECT each.key, each.value
    FROM json_each(CASE json_typeof(node) WHEN 'object' THEN node END) AS each
    UNION ALL SELECT NULL, item.value
    FROM json_array_elements(CASE json_typeof(node) WHEN 'array' THEN node END) AS item
$$;

CREATE FUNCTION lcft_json_each(data text) RETURNS TABLE (key lcft_text, value lcft_text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 10 AS $$
    SELECT key::lcft_text, coalesce(value #>> '{}', 'null')::lcft_text
    FROM lcft_members(lcft_json(data))
$$;

CREATE FUNCTION lcft_json_each(data text, path text)
RETURNS TABLE (key lcft_text, value lcft_text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 10 AS $$
    SELECT key, value FROM lcft_json_each(lcft_json(data) #>> string_to_array(substr(path, 3), '.'))
$$;

CREATE FUNCTION lcft_number(written text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    parts text[];
    sign text;
    digits text;
    shorter text;
    -- The value is 0.digits times ten to the power of point.
    point integer;
BEGIN
    IF written ~ '^-?[0-9]+$'
        AND written::numeric BETWEEN -9223372036854775808 AND 18446744073709551615 THEN
        RETURN CASE written WHEN '-0' THEN '0' ELSE written END;
    END IF;
    BEGIN
        written := (written::double precision)::text;
    EXCEPTION WHEN numeric_value_out_of_range THEN
        -- Too small; one that is too large is not taken in.
        RETURN CASE left(written, 1) WHEN '-' THEN '-0.0' ELSE '0.0' END;
    END;
    parts := regexp_match(written, '^(-?)([0-9]+)(?:\.([0-9]+))?(?:e([+-][0-9]+))?$');
    sign := parts[1];
    digits := parts[2] || coalesce(parts[3], '');
    point := length(parts[2]) + coalesce(parts[4]::integer, 0);
    point := point - (length(digits) - length(ltrim(digits, '0')));
    digits := trim(both '0' from digits);
    -- PostgreSQL writes a digit more where a shorter number is exactly as near to two doubles.
    WHILE length(digits) > 15 AND point BETWEEN -300 AND 308 LOOP
        SELECT max(number::text) INTO shorter
        FROM unnest(ARRAY[trunc(digits::numeric / 10), trunc(digits::numeric / 10) + 1]) AS number
        WHERE (sign || '0.' || number || 'e' || point)::double precision
            = written::double precision;
        EXIT WHEN shorter IS NULL;
        digits := rtrim(shorter, '0');
    END LOOP;
    IF digits = '' THEN
        RETURN sign || '0.0';
    ELSIF point BETWEEN 1 AND 16 AND length(digits) <= point THEN
        RETURN sign || rpad(digits, point, '0') || '.0';
    ELSIF point BETWEEN 1 AND 16 THEN
        RETURN sign || left(digits, point) || '.' || substr(digits, point + 1);
    ELSIF point BETWEEN -4 AND 0 THEN
        RETURN sign || '0.' || repeat('0', -point) || digits;
    END IF;
    RETURN sign || left(digits, 1)
        || CASE WHEN length(digits) > 1 THEN '.' || substr(digits, 2) ELSE '' END
        || 'e' || CASE WHEN point > 0 THEN '+' ELSE '-' END || abs(point - 1)::text;
END $$;

CREATE FUNCTION lcft_leaves(data text) RETURNS TABLE (key lcft_text, value lcft_text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    WITH RECURSIVE walk(path, node) AS (
        SELECT '', lcft_json(data)
        UNION ALL
        SELECT CASE WHEN inner_node.key IS NULL THEN walk.path
                WHEN walk.path = '' THEN inner_node.key
                ELSE walk.path || '.' || inner_node.key END, inner_node.value
        FROM walk CROSS JOIN LATERAL lcft_members(walk.node) AS inner_node
    ), leaf(path, text) AS (
        SELECT path, CASE json_typeof(node) WHEN 'number' THEN lcft_number(node::text)
            ELSE node #>> '{}' END
        FROM walk WHERE json_typeof(node) NOT IN ('object', 'array', 'null')
    )
    SELECT path::lcft_text, text::lcft_text FROM leaf WHERE text <> ''
$$;

CREATE FUNCTION lcft_strings(data text) RETURNS TABLE (value text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    WITH RECURSIVE walk(key, node) AS (
        SELECT NULL::text, lcft_json(data)
        UNION ALL
        SELECT inner_node.key, inner_node.value
        FROM walk CROSS JOIN LATERAL lcft_members(walk.node) AS inner_node
    )
    SELECT key FROM walk WHERE key IS NOT NULL
    UNION ALL SELECT node #>> '{}' FROM walk WHERE json_typeof(node) = 'string'
$$;

CREATE FUNCTION lcft_json_contains(data text, needle text, escaped text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN strpos(data, '\u') = 0 AND strpos(lcft_casefold(data), escaped) = 0 THEN FALSE
        ELSE EXISTS (
            SELECT 1 FROM lcft_strings(data) AS each
            WHERE strpos(lcft_casefold(each.value), needle) > 0
        ) END
$$;
"""
