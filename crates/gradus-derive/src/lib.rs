//! `#[derive(Tree)]`: a struct or enum of tensors as a tree, so that transforms take it and give it back.

#![forbid(unsafe_code)]

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::{format_ident, quote};
use syn::{Attribute, Data, DeriveInput, Fields, parse_macro_input, parse_quote};

/// Makes a struct or enum a tree of its fields.
///
/// Every field must be a tree itself: tensors are leaves; numbers, strings, booleans and functions `fn(&A) -> B` are
/// static, part of the structure by which compiled functions are found. A field of a type that is no tree is marked
/// `#[tree(skip)]` and is static, too; its type has to be `Hash + Eq + Clone`, so that a compiled function sees it change.
#[proc_macro_derive(Tree, attributes(tree))]
pub fn derive_tree(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(|e| e.to_compile_error()).into()
}

/// One field as the three generated methods see it.
struct Field {
    binding: syn::Ident,
    /// The name shown in paths.
    name: String,
    /// How it is named in a constructor: `name:` or nothing.
    label: Tokens,
    skip: bool,
}

fn fields(fields: &Fields) -> syn::Result<Vec<Field>> {
    let mut out = Vec::new();
    for (i, field) in fields.iter().enumerate() {
        let mut skip = false;
        for attr in field.attrs.iter().filter(|a| a.path().is_ident("tree")) {
            attr.parse_nested_meta(|meta| {
                if meta.path.is_ident("skip") {
                    skip = true;
                    return Ok(());
                }
                Err(meta.error("unknown option; the only one is `skip`"))
            })?;
        }
        let (name, label) = match &field.ident {
            Some(ident) => (ident.to_string().trim_start_matches("r#").to_string(), quote!(#ident:)),
            None => (i.to_string(), quote!()),
        };
        out.push(Field { binding: format_ident!("field_{i}"), name, label, skip });
    }
    Ok(out)
}

/// The attribute belongs to fields; elsewhere it would do nothing.
fn of_no_field(attrs: &[Attribute]) -> syn::Result<()> {
    match attrs.iter().find(|a| a.path().is_ident("tree")) {
        Some(attr) => {
            Err(syn::Error::new_spanned(attr, "`#[tree(skip)]` marks fields, not types or variants"))
        }
        None => Ok(()),
    }
}

fn expand(input: &DeriveInput) -> syn::Result<Tokens> {
    of_no_field(&input.attrs)?;
    let variants: Vec<(Tokens, &Fields)> = match &input.data {
        Data::Struct(s) => vec![(quote!(Self), &s.fields)],
        Data::Enum(e) if e.variants.is_empty() => {
            return Err(syn::Error::new_spanned(&input.ident, "an enum without variants cannot be a tree"));
        }
        Data::Enum(e) => {
            e.variants.iter().try_for_each(|v| of_no_field(&v.attrs))?;
            let path = |ident: &syn::Ident| quote!(Self::#ident);
            e.variants.iter().map(|v| (path(&v.ident), &v.fields)).collect()
        }
        Data::Union(_) => return Err(syn::Error::new_spanned(&input.ident, "a union cannot be a tree")),
    };
    let (mut visit, mut map, mut structure) = (Vec::new(), Vec::new(), Vec::new());
    for (index, (path, shape)) in variants.iter().enumerate() {
        let fields = fields(shape)?;
        let bindings: Vec<_> = fields.iter().map(|f| &f.binding).collect();
        let labelled: Vec<_> =
            fields.iter().map(|Field { binding, label, .. }| quote!(#label #binding)).collect();
        let pattern = match shape {
            Fields::Named(_) => quote!(#path { #(#labelled),* }),
            Fields::Unnamed(_) => quote!(#path(#(#bindings),*)),
            Fields::Unit => quote!(#path),
        };
        let visits = fields.iter().filter(|f| !f.skip).map(|Field { binding, name, .. }| {
            quote!(path.within(#name, |path| ::gradus::Tree::visit(#binding, path, f));)
        });
        let parts = fields.iter().map(|Field { binding, name, skip, .. }| {
            let tell = if *skip {
                quote!((&&&&Field(#binding)).tell(structure))
            } else {
                quote!(::gradus::Tree::structure(#binding, structure))
            };
            quote!(structure.within(#name, |structure| #tell);)
        });
        let told = match &input.data {
            Data::Enum(e) => {
                let name = e.variants[index].ident.to_string();
                quote!(structure.variant(#name);)
            }
            Data::Struct(_) | Data::Union(_) => quote!(),
        };
        let built: Vec<_> = fields
            .iter()
            .map(|Field { binding, label, skip, .. }| {
                if *skip {
                    quote!(#label ::core::clone::Clone::clone(#binding))
                } else {
                    quote!(#label ::gradus::Tree::map(#binding, f))
                }
            })
            .collect();
        let rebuilt = match shape {
            Fields::Named(_) => quote!(#path { #(#built),* }),
            Fields::Unnamed(_) => quote!(#path(#(#built),*)),
            Fields::Unit => quote!(#path),
        };
        visit.push(quote!(#[allow(unused_variables)] #pattern => { #(#visits)* }));
        map.push(quote!(#[allow(unused_variables)] #pattern => #rebuilt,));
        structure.push(quote!(#[allow(unused_variables)] #pattern => {
            #told
            #(#parts)*
        }));
    }
    let name = &input.ident;
    let mut generics = input.generics.clone();
    for parameter in input.generics.type_params() {
        let ident = &parameter.ident;
        generics.make_where_clause().predicates.push(parse_quote!(#ident: ::gradus::Tree));
    }
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    Ok(quote! {
        #[automatically_derived]
        impl #impl_generics ::gradus::Tree for #name #ty_generics #where_clause {
            fn visit(&self, path: &mut ::gradus::TreePath, f: &mut dyn FnMut(&::gradus::TreePath, &::gradus::Tensor)) {
                match self { #(#visit)* }
            }
            fn map(&self, f: &mut dyn FnMut(&::gradus::Tensor) -> ::gradus::Tensor) -> Self {
                match self { #(#map)* }
            }
            fn structure(&self, structure: &mut ::gradus::Structure<'_>) {
                #[allow(unused_imports)]
                use ::gradus::skipped::{ByTree as _, ByType as _, ByValue as _, Field, Refused as _};
                match self { #(#structure)* }
            }
        }
        #[automatically_derived]
        impl #impl_generics ::gradus::Blocks for #name #ty_generics #where_clause {
            type Of<__Argument: ::gradus::Tree> = ::std::vec::Vec<__Argument>;
            fn blocks<__Argument: ::gradus::Tree>(&self, next: &mut dyn FnMut() -> __Argument) -> Self::Of<__Argument> {
                ::gradus::Tree::tensors(self).iter().map(|_| next()).collect()
            }
        }
    })
}
