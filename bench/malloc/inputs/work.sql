-- SPDX-License-Identifier: MIT
-- A database in memory: rows in and out, indexes, joins, text, a large sort.
create table person(id integer primary key, name text, city integer, born int);
create table city(id integer primary key, name text);
create table event(person integer, kind text, amount real, note text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 500)
  insert into city select i, 'city ' || hex(i * 7919) from n;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 40000)
  insert into person
  select i, 'name ' || (i * 48271 % 65537) || substr('abcdefghijklmnopqrstuvwxyz', i % 20, 6),
         1 + i * 31 % 500, 1900 + i * 17 % 120 from n;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 150000)
  insert into event
  select 1 + i * 7919 % 40000, substr('buysellgiveloan', 1 + i * 3 % 13, 4),
         (i * 104729 % 100003) / 100.0,
         substr('the quick brown fox jumps over the lazy dog ', 1 + i % 20, 8 + i % 24) || i
  from n;
create index event_person on event(person);
create index person_name on person(name);
create index event_note on event(note);
select count(*), round(sum(amount), 2) from event;
select c.name, count(*), round(sum(e.amount), 2) s from event e
  join person p on p.id = e.person join city c on c.id = p.city
  group by c.id order by s desc limit 20;
select kind, group_concat(note, ',') from
  (select kind, note from event where person % 977 = 0 order by note) group by kind;
select count(distinct substr(note, 1, 12)), max(upper(note)) from event;
begin;
delete from event where rowid % 3 = 0;
update event set note = note || ' ' || kind where person % 5 = 0;
update person set name = replace(name, 'e', 'ee');
commit;
select count(*), sum(length(note)) from event;
select p.name, json_group_array(e.note) from person p join event e on e.person = p.id
  where p.city = 7 group by p.id order by p.name limit 10;
with recursive n(i, s) as (select 1, 'x' union all
  select i + 1, substr(s || i, -300) from n where i < 60000)
  select sum(length(s)), max(s) from n;
select count(*) from (select note, person from event order by note desc, person);
