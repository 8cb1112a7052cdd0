SELECT {column}::{shown} FROM ({rows}) AS sent
